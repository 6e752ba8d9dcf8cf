/** A playground that others can reach: who is let in, and how much one of them can take from the others. */

import { stat } from 'node:fs/promises'
import { Agent, get, type RequestOptions } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { networkOf } from '../../src/bot/playground/address.ts'
import { type House, type HouseOptions, openHouse } from './house.ts'
import { eventually, Visitor } from './visitor.ts'

async function open(options: HouseOptions): Promise<House> {
  const house = await openHouse(options)
  onTestFinished(() => house.clear())
  return house
}

/** The cookie that the printed link gives. */
async function followLink({ lines, playground }: House, base = playground.address): Promise<string> {
  const [, token] = /\/login\?token=(\S+)/.exec(lines.join('\n'))!
  const answer = await fetch(`${base}/login?token=${token}`, { redirect: 'manual' })
  expect(answer.status).toBe(303)
  expect(answer.headers.get('location')).toBe('/')
  return answer.headers.get('set-cookie')!.split(';')[0]!
}

function logIn(address: string, password: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${address}/api/login`, {
    method: 'POST',
    headers: { origin: address, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ password }),
  })
}

const from = (address: string) => ({ 'x-forwarded-for': address })

describe('who is let in', () => {
  it('is nobody without a login where others can reach it, and they are told so', async () => {
    const { playground } = await open({ host: '0.0.0.0' })
    const page = await fetch(playground.address)
    expect(page.status).toBe(401)
    expect(await page.text()).toContain('This playground is for those who have its link or its password.')
    const cookie = `seedling_visitor=${'0'.repeat(32)}`
    const headers = { cookie, origin: playground.address, 'content-type': 'application/json' }
    for (const path of ['/api/session', '/api/imagine', '/api/act']) {
      const answer = await fetch(playground.address + path, { method: 'POST', headers, body: '{"text":"a cat"}' })
      expect(answer.status, path).toBe(401)
      expect(await answer.json()).toEqual({ error: expect.stringMatching(/its link or its password; open it at \//) })
    }
    for (const path of ['/api/events', '/api/jobs/0123456789abcdef', '/pictures/0123456789abcdef/0.png', '/x']) {
      expect((await fetch(playground.address + path, { headers: { cookie } })).status, path).toBe(401)
    }
  })

  it('is whoever has the link that was printed, also after a restart', async () => {
    const house = await openHouse({ host: '0.0.0.0' })
    const login = await followLink(house)
    const visitor = await Visitor.arrive(house.playground.address, { login })
    expect(await (await visitor.get('/')).text()).toContain('<title>Seedling</title>')
    expect((await visitor.imagine('a cat')).prompt).toBe('a cat')
    expect((await fetch(`${house.playground.address}/login?token=wrong`)).status).toBe(401)
    expect((await stat(join(house.dataDir, 'playground-token'))).mode & 0o777).toBe(0o600)
    await house.stop()

    const again = await open({ host: '0.0.0.0', dataDir: house.dataDir })
    expect((await Visitor.arrive(again.playground.address, { login })).cookie).toContain('seedling_visitor')
    expect(await followLink(again)).toBe(login)
  })

  it('is whoever knows the password, until there is another', async () => {
    const house = await openHouse({ host: '0.0.0.0', password: 'open sesame' })
    const { address } = house.playground
    expect(house.lines.join()).not.toMatch(/token|sesame/)
    const refused = await logIn(address, 'open barley')
    expect([refused.status, await refused.json()]).toEqual([401, { error: 'That is not the password.' }])
    expect(refused.headers.get('set-cookie')).toBeNull()
    const entered = await logIn(address, 'open sesame')
    expect(entered.status).toBe(204)
    const cookie = entered.headers.get('set-cookie')!
    expect(cookie).toMatch(/^seedling_login=[0-9a-f]{64}; .*HttpOnly; SameSite=Lax$/)
    expect(cookie).not.toContain('sesame')
    const login = cookie.split(';')[0]!
    expect((await fetch(address, { headers: { cookie: login } })).status).toBe(200)
    await house.stop()

    const changed = await open({ host: '0.0.0.0', password: 'open wheat', dataDir: house.dataDir })
    expect((await fetch(changed.playground.address, { headers: { cookie: login } })).status).toBe(401)
  })

  it('has few tries', async () => {
    const { playground } = await open({ host: '0.0.0.0', password: 'open sesame', trustsProxy: true })
    // Entering is no try at the password, however many do it.
    for (let people = 0; people < 11; people++) {
      expect((await logIn(playground.address, 'open sesame', from('203.0.113.1'))).status).toBe(204)
    }
    const answers = []
    for (let tries = 0; tries < 11; tries++) {
      answers.push((await logIn(playground.address, `wrong ${tries}`, from('203.0.113.1'))).json())
    }
    expect((await Promise.all(answers)).at(-1)).toEqual({ error: 'Too many tries; wait a minute, then try again.' })
    expect((await logIn(playground.address, 'open sesame', from('203.0.113.1'))).status).toBe(401)
    expect((await logIn(playground.address, 'open sesame', from('203.0.113.2'))).status).toBe(204)
  })

  it('is everybody on this machine, where nobody else can reach it', async () => {
    const { playground, lines } = await open({})
    expect((await fetch(playground.address)).status).toBe(200)
    expect(lines).toEqual([])
  })

  it('is asked for a password on this machine too where one is set, by any name', async () => {
    const { playground } = await open({ password: 'open sesame' })
    expect((await fetch(playground.address)).status).toBe(401)
    const { port } = new URL(playground.address)
    expect(await statusOf({ port, headers: { host: 'pictures.example' } })).toBe(401)
  })
})

describe('what one address can take', { timeout: 60_000 }, () => {
  async function proxied(options: HouseOptions = {}) {
    const house = await open({ trustsProxy: true, ...options })
    const login = await followLink(house)
    const arrive = (address: string) => Visitor.arrive(house.playground.address, { login, headers: from(address) })
    return { ...house, login, arrive }
  }

  it('is ten unfinished jobs, with however many cookies; another address is served next', async () => {
    const { arrive, engine } = await proxied()
    const flood = await Promise.all(Array.from({ length: 30 }, () => arrive('203.0.113.1')))
    const answers = await Promise.all(flood.map((visitor) => visitor.post('/api/imagine', { text: 'a flood, slowly' })))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(10)
    const refused = answers.find(({ status }) => status === 429)!
    expect(await refused.json()).toEqual({
      error: '10 jobs from your address are waiting; ask again when one of them is done.',
    })
    const honest = await arrive('203.0.113.2')
    await using events = await honest.listen()
    const { status } = await honest.imagine('an honest apple')
    expect(status).toMatch(/^Queued · (\d|10)(st|nd|rd|th) in line/)

    // What ends makes room for one more.
    const call = await engine.call('a flood, slowly')
    call.finish()
    const again = async () => {
      const answer = await flood[0]!.post('/api/imagine', { text: 'a flood, slowly' })
      if (answer.status !== 201) throw new Error(await answer.text())
    }
    await eventually(again)
    await events.next()
  })

  it('is no more of the queue than all may have', async () => {
    const { arrive } = await proxied({ limits: { jobsPerAddress: 2, jobsInAll: 3 } })
    const statuses = []
    for (const address of ['203.0.113.1', '203.0.113.1', '203.0.113.2', '203.0.113.3']) {
      statuses.push((await (await arrive(address)).post('/api/imagine', { text: 'a crowd, slowly' })).status)
    }
    expect(statuses).toEqual([201, 201, 201, 429])
  })

  it('counts a button’s jobs, and gives back what was refused or cancelled', async () => {
    const { arrive } = await proxied({ limits: { jobsPerAddress: 2, jobsInAll: 50 } })
    const visitor = await arrive('203.0.113.1')
    await using events = await visitor.listen()
    const { job } = await visitor.imagine('a plum')
    await events.until(({ data }) => data.job === job && data.state === 'done')
    for (let tries = 0; tries < 5; tries++) {
      expect((await visitor.post('/api/imagine', { text: 'a cat --steps 900' })).status).toBe(400)
    }
    const slow = await visitor.imagine('a snail, slowly')
    expect((await visitor.act('reroll', job)).status).toBe(201)
    expect((await visitor.act('reroll', job)).status).toBe(429)
    expect((await visitor.act('cancel', slow.job)).status).toBe(204)
    expect((await visitor.act('reroll', job)).status).toBe(201)
  })

  it('is 32 streams, whoever asks for them', async () => {
    const { arrive } = await proxied()
    const open = []
    for (let pages = 0; pages < 32; pages++) open.push(await (await arrive('203.0.113.1')).listen())
    const refused = await (await arrive('203.0.113.1')).get('/api/events')
    expect([refused.status, await refused.json()]).toEqual([
      429,
      { error: 'Too many people have this page open; come back in a while.' },
    ])
    open.push(await (await arrive('203.0.113.2')).listen())
    for (const events of open) await events[Symbol.asyncDispose]()
  })

  it('is 300 requests a minute that ask for something', async () => {
    const { arrive } = await proxied()
    const visitor = await arrive('203.0.113.1')
    const statuses = await Promise.all(
      Array.from({ length: 300 }, async () => (await visitor.post('/api/act', { id: '' })).status),
    )
    expect(statuses).toContain(429)
    expect((await visitor.get('/')).status).toBe(200)
    expect((await (await arrive('203.0.113.2')).post('/api/act', { id: '' })).status).toBe(400)
  })

  it('is 128 sockets, while others get in', async () => {
    const { playground } = await open({ host: '0.0.0.0' })
    const { port } = new URL(playground.address)
    const agents: Agent[] = []
    onTestFinished(() => {
      for (const agent of agents) agent.destroy()
    })
    const connect = (localAddress: string) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      agents.push(agent)
      return statusOf({ port, agent, localAddress }).catch(() => 'closed')
    }
    const statuses = await Promise.all(Array.from({ length: 160 }, () => connect('127.0.0.1')))
    expect(statuses.filter((status) => status === 401)).toHaveLength(128)
    expect(statuses.filter((status) => status === 'closed')).toHaveLength(32)
    expect(await connect('127.0.0.2')).toBe(401)
  })

  it('is counted by network where each connection can have an address of its own', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64')
    expect(networkOf('2001:DB8:1:2::6')).toBe('2001:db8:1:2::/64')
    expect(networkOf('2001:db8::6')).toBe('2001:db8:0:0::/64')
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64')
    expect(networkOf('::1')).toBe('0:0:0:0::/64')
    expect(networkOf('::ffff:203.0.113.1')).toBe('203.0.113.1')
    // Some proxies tell the port.
    expect(networkOf('203.0.113.1:5678')).toBe('203.0.113.1')
    expect(networkOf('[2001:db8:1:2::6]:5678')).toBe('2001:db8:1:2::/64')
  })

  it('is not told by a header where no proxy is trusted', async () => {
    const { playground, lines } = await open({ host: '0.0.0.0', limits: { jobsPerAddress: 1, jobsInAll: 50 } })
    const login = await followLink({ playground, lines } as House)
    const statuses = []
    for (const address of ['203.0.113.1', '203.0.113.2']) {
      const visitor = await Visitor.arrive(playground.address, { login, headers: from(address) })
      statuses.push((await visitor.post('/api/imagine', { text: 'a liar, slowly' })).status)
    }
    expect(statuses).toEqual([201, 429])
  })
})

function statusOf(options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', path: '/', ...options }, (response) => {
      response.resume()
      resolve(response.statusCode!)
    }).on('error', reject)
  })
}
