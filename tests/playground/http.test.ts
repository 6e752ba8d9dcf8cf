/** The playground from outside, without a browser: what it answers, to whom, and what it refuses. */

import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPlayground } from '../../src/bot/playground/index.ts'
import type { Message } from '../../src/bot/playground/message.ts'
import { UserError } from '../../src/job/errors.ts'
import { newJobId } from '../../src/job/job.ts'
import { type House, openHouse, quiet } from './house.ts'
import { eventually, Visitor } from './visitor.ts'

let house: House

beforeAll(async () => {
  house = await openHouse()
})

afterAll(() => house.clear())

const arrive = () => Visitor.arrive(house.playground.address)

/** A job whose pictures are there. */
async function drawn(visitor: Visitor, text: string): Promise<Message> {
  await using events = await visitor.listen()
  const { job } = await visitor.imagine(text)
  return (await events.until(({ data }) => data.job === job && data.state === 'done')).data
}

describe('a job', () => {
  it('is told of from the queue to its pictures', async () => {
    const visitor = await arrive()
    await using events = await visitor.listen()
    const message = await visitor.imagine('a red apple, slowly --seed 7 --count 2')
    expect(message).toMatchObject({ prompt: 'a red apple, slowly', mine: true, count: 2, width: 64 })
    expect((await events.next())!.data).toMatchObject({ job: message.job, state: 'queued' })

    const call = await house.engine.call('a red apple, slowly')
    call.step(5, 40, Buffer.from('preview'))
    const running = await events.until(({ data }) => data.fraction! > 0)
    expect(running.data).toMatchObject({ fraction: 0.125, preview: 'data:image/png;base64,cHJldmlldw==' })

    call.finish()
    const { data } = await events.until(({ data }) => data.state === 'done')
    expect(data.pictures.map(({ url }) => url)).toEqual([
      `/pictures/${message.job}/0.png`,
      `/pictures/${message.job}/1.png`,
    ])
    expect(data.actions.map(({ label }) => label)).toEqual(['🔄', 'V1', 'V2', 'U1', 'U2', '🗑'])
    expect((await house.queue.get(message.job))!.place.message).toBe(message.job)
  })

  it('is found by its number in every form in which people write it', async () => {
    const visitor = await arrive()
    const { job } = await drawn(visitor, 'a fig')
    for (const name of [job.toUpperCase(), `#${job}`, `job ${job}`, `seedling-${job}-1.png`])
      expect((await visitor.get(`/api/jobs/${encodeURIComponent(name)}`)).status, name).toBe(200)
    expect((await visitor.get('/api/jobs/apple')).status).toBe(400)
  })

  it('says how long it was drawn, whatever the clock did meanwhile', async () => {
    const visitor = await arrive()
    await using events = await visitor.listen()
    const { job } = await visitor.imagine('a slowly filled hourglass')
    const call = await house.engine.call('a slowly filled hourglass')
    const { now } = Date
    // The machine slept, or its clock was set, or what keeps the records was away.
    Date.now = () => now() + 3_600_000
    try {
      call.finish()
      const { data } = await events.until(({ data }) => data.job === job && data.state === 'done')
      expect(data.status).toMatch(/^Imagine · \d+(\.\d)? s$/)
    } finally {
      Date.now = now
    }
  })

  it('gives its pictures as unchanging PNGs, and none that do not exist', async () => {
    const visitor = await arrive()
    const { job } = await drawn(visitor, 'a pear')
    const picture = await visitor.get(`/pictures/${job}/0.png`)
    expect(picture.headers.get('content-type')).toBe('image/png')
    expect(picture.headers.get('cache-control')).toContain('immutable')
    expect(picture.headers.get('x-content-type-options')).toBe('nosniff')
    expect(Buffer.from(await picture.arrayBuffer())).toEqual(await house.pictures.read(job, 0))
    for (const path of [`${job}/1.png`, `${job}/0`, `${job}/..%2f..%2fjobs.db`, '..%2f..%2fpackage.json', 'x/0.png']) {
      expect((await visitor.get(`/pictures/${path}`)).status, path).toBe(404)
    }
  })

  it('comes back for a page that connects later, and is gone for one that knew a deleted one', async () => {
    const visitor = await arrive()
    const kept = await drawn(visitor, 'a plum')
    const deleted = await drawn(visitor, 'a fig')
    expect((await visitor.act('delete', deleted.job)).status).toBe(204)
    expect((await visitor.get(deleted.pictures[0]!.url)).status).toBe(404)
    await using events = await visitor.listen([kept.job, deleted.job, '../../secret'])
    expect(await events.next()).toEqual({ event: 'job', data: kept })
    expect(await events.next()).toEqual({ event: 'removed', data: { job: deleted.job } })
  })

  it('that a crash cut off before its page heard of it reaches that page after the restart', async () => {
    const before = await openHouse()
    const visitor = await Visitor.arrive(before.playground.address)
    before.presenter.present = () => Promise.reject(new UserError('unavailable', 'Gone in a crash.'))
    expect((await visitor.post('/api/imagine', { text: 'a cherry' })).status).toBe(503)
    await before.stop()
    const after = await openHouse({ dataDir: before.dataDir })
    await using events = await visitor.at(after.playground.address).listen()
    await events.until(({ data }) => data.prompt === 'a cherry' && data.state === 'done')
    await after.clear()
  })
})

describe("somebody else's job", () => {
  /** Everything that the web interface can be asked about a job. */
  const doors = (visitor: Visitor, job: string): Record<string, () => Promise<Response>> => ({
    show: () => visitor.get(`/api/jobs/${job}`),
    picture: () => visitor.get(`/pictures/${job}/0.png`),
    ...Object.fromEntries(
      ['reroll', 'vary', 'upscale', 'cancel', 'delete'].map((action) => [action, () => visitor.act(action, job)]),
    ),
  })

  /** Nothing of it may be told. */
  async function expectUnseen(visitor: Visitor, job: string, secrets: readonly string[]) {
    for (const [door, open] of Object.entries(doors(visitor, job))) {
      const answer = await open()
      expect(answer.status, door).toBe(404)
      const text = await answer.text()
      for (const secret of secrets) expect(text, door).not.toContain(secret)
    }
    await using events = await visitor.listen([job])
    expect(await events.next()).toEqual({ event: 'removed', data: { job } })
  }

  it('cannot be seen, changed or drawn from by another visitor, by its id or otherwise', async () => {
    const [author, stranger] = [await arrive(), await arrive()]
    await using events = await stranger.listen()
    const { job, authorName } = await drawn(author, 'a secret garden')
    const { author: stored } = (await house.queue.get(job))!
    expect(stored.id).not.toBe(author.cookie.split('=')[1])
    await expectUnseen(stranger, job, ['secret garden', authorName, stored.id])
    expect(await house.queue.get(job)).toMatchObject({ state: 'done', pictures: [{}] })
    const own = await stranger.imagine('a public park')
    expect((await events.next())!.data.job).toBe(own.job)
    expect((await author.get(`/pictures/${job}/0.png`)).status).toBe(200)
  })

  it('cannot be followed by a page that names it while it is drawn', async () => {
    const [author, stranger] = [await arrive(), await arrive()]
    const { job } = await author.imagine('an ash grows slowly')
    const call = await house.engine.call('an ash grows slowly')
    await expectUnseen(stranger, job, ['an ash'])
    await using events = await stranger.listen([job])
    await using own = await author.listen([job])
    call.finish()
    await own.until(({ data }) => data.state === 'done')
    const { job: next } = await stranger.imagine('a birch')
    const seen = [(await events.next())!, (await events.next())!]
    expect(seen.map(({ event, data }) => [event, data.job])).toEqual([
      ['removed', job],
      ['job', next],
    ])
  })

  it.each(['discord', 'slack'])(
    'of %s is nobody’s on the page, though its id stands under every picture',
    async (platform) => {
      const visitor = await arrive()
      const { job } = await drawn(visitor, 'a template')
      const template = (await house.queue.get(job))!
      const id = newJobId()
      const place = { platform, guild: template.place.guild, channel: template.place.channel, message: '1' }
      await house.queue.add({
        ...template,
        id,
        state: 'queued',
        request: { ...template.request, prompt: `a slowly kept secret of ${platform}` },
        place,
        pictures: [],
      })
      const call = await house.engine.call(`a slowly kept secret of ${platform}`)
      await expectUnseen(visitor, id, ['kept secret', template.author.name])
      call.finish()
      await expect.poll(async () => (await house.queue.get(id))?.state, { timeout: 60_000 }).toBe('done')
      expect(await house.pictures.read(id, 0)).toBeDefined()
      await expectUnseen(visitor, id, ['kept secret'])
    },
  )

  it('is not shown to whoever has no cookie either', async () => {
    const author = await arrive()
    const { job } = await drawn(author, 'an elm')
    author.cookie = ''
    for (const [door, open] of Object.entries(doors(author, job))) expect((await open()).status, door).toBe(401)
  })
})

describe('a mistake', () => {
  it.each([
    ['a cat --steps 500', 400, 'steps is “500”; it must be a whole number from 1 to 100.'],
    ['', 400, 'prompt is empty; say what to draw, such as /imagine a red apple.'],
    ['x'.repeat(10_000), 400, 'prompt is 10000 characters long; 2000 is the most.'],
    ['x'.repeat(100_000), 413, 'That is far too long; say it in fewer words.'],
  ])('“%.20s” gets one sentence, and nothing is queued', async (text, status, error) => {
    const visitor = await arrive()
    await using events = await visitor.listen()
    const answer = await visitor.post('/api/imagine', { text })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toEqual({ error })
    // The next thing that the visitor hears of is something else.
    const { job } = await visitor.imagine('a correct horse')
    expect((await events.next())!.data.job).toBe(job)
  })

  it.each(['{"text":', '[]', '{"text":{"$ne":1}}', 'null', '{"__proto__":{"text":"x"}}'])(
    '%s is refused as unreadable',
    async (body) => {
      const answer = await (await arrive()).post('/api/imagine', body)
      expect(answer.status).toBe(400)
    },
  )

  it.each(['', 'explode:0:0123456789abcdef', 'vary:11:0123456789abcdef', 'vary:1:../../x'])(
    'a button that nobody made, %s, is refused',
    async (id) => {
      expect((await (await arrive()).post('/api/act', { id })).status).toBe(400)
    },
  )

  it('of ours is an apology without details, and a line for the operator', async () => {
    const visitor = await arrive()
    const { imagine } = house.commands
    house.commands.imagine = () => Promise.reject(new Error('disk full at /home/me'))
    const answer = await visitor.post('/api/imagine', { text: 'a cat' })
    house.commands.imagine = imagine
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('disk')
    expect(house.lines.join()).toContain('disk full')
  })
})

describe('the door', () => {
  it('gives a secret cookie that scripts cannot read and other sites cannot use, and keeps it', async () => {
    const visitor = await arrive()
    const again = await visitor.post('/api/session', {})
    const cookie = again.headers.get('set-cookie')!
    expect(cookie).toMatch(/^seedling_visitor=[0-9a-f]{32}; .*HttpOnly; SameSite=Strict$/)
    expect(cookie.split(';')[0]).toBe(visitor.cookie)
  })

  it('lets nobody in without a cookie of its own making', async () => {
    const visitor = await arrive()
    for (const cookie of ['', 'seedling_visitor=x', `seedling_visitor=${'0'.repeat(31)}'`]) {
      visitor.cookie = cookie
      expect((await visitor.post('/api/imagine', { text: 'a cat' })).status).toBe(401)
      expect((await visitor.get('/api/events')).status).toBe(401)
    }
  })

  it.each([
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ origin: '' }, 403],
    [{ 'content-type': 'text/plain' }, 415],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 415],
  ])('refuses what another site could send: %o', async (headers, status) => {
    const visitor = await arrive()
    for (const path of ['/api/imagine', '/api/act', '/api/session']) {
      const answer = await visitor.post(path, { text: 'a cat', id: '' }, headers as Record<string, string>)
      expect(answer.status).toBe(status)
      expect(answer.headers.get('set-cookie')).toBeNull()
    }
  })

  it('refuses a name that somebody pointed at this machine', async () => {
    expect(await statusFor('/', 'evil.example')).toBe(403)
    expect(await statusFor('/', '127.0.0.1.evil.example:3000')).toBe(403)
    expect(await statusFor('/', 'localhost@evil.example')).toBe(400)
    expect(await statusFor('/', 'localhost:9999')).toBe(200)
    expect(await statusFor('/', '[::1]:3000')).toBe(200)
  })

  it('sends the page with a policy that runs nothing inline and nothing from elsewhere', async () => {
    const page = await (await arrive()).get('/')
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = page.headers.get('content-security-policy')!
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
      expect(policy).toContain(rule)
    }
    expect(policy).not.toContain('unsafe')
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    expect(page.headers.get('referrer-policy')).toBe('no-referrer')
    expect(await page.text()).not.toMatch(/<script[^>]*>[^<]|<style|style=|onload=/)
  })

  it('answers that the page did not change when it did not', async () => {
    const visitor = await arrive()
    const etag = (await visitor.get('/main.js')).headers.get('etag')!
    expect((await visitor.get('/main.js', { 'if-none-match': etag })).status).toBe(304)
  })

  it('lets four pages of a visitor listen, and a fifth when one has left', async () => {
    const visitor = await arrive()
    for (let heads = 0; heads < 5; heads++) await visitor.head('/api/events')
    const open = await Promise.all(Array.from({ length: 4 }, () => visitor.listen()))
    expect((await visitor.get('/api/events')).status).toBe(429)
    await open[0]![Symbol.asyncDispose]()
    const fifth = await eventually(() => visitor.listen())
    for (const events of [...open.slice(1), fifth]) await events[Symbol.asyncDispose]()
  })
})

describe('starting and stopping', () => {
  it('names PORT when the port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const sentence = `Port ${port} is in use by another program; set PORT to a free one.`
    const late = createPlayground({ ...quiet, port }, house)
    await expect(late.start()).rejects.toThrow(sentence)
    await late.stop()
    other.close()
  })

  it('says so when the page was not built', async () => {
    await expect(createPlayground({ ...quiet, pageFolder: '/nowhere' }, house).start()).rejects.toThrow('npm run build')
  })

  it('ends the streams of the pages that listen when it stops', async () => {
    const brief = createPlayground(quiet, house)
    await brief.start()
    const visitor = await Visitor.arrive(brief.address)
    const events = await visitor.listen()
    await brief.stop()
    expect(await events.next()).toBeUndefined()
    await expect(fetch(brief.address)).rejects.toThrow()
  })
})

function statusFor(path: string, host: string): Promise<number> {
  const { port } = new URL(house.playground.address)
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers: { host } }, (response) => {
      response.resume()
      resolve(response.statusCode!)
    })
      .on('error', reject)
      .end()
  })
}
