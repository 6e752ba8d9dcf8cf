import { once } from 'node:events'
import { createServer } from 'node:net'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import type { PictureStore } from '../../src/store/store.ts'
import { newJob, temporaryFolder } from '../queue/jobs.ts'
import { allAnswered, createBot, jobIn, openDiscord, startBot } from './bot.ts'

describe('at the start', () => {
  it('registers its commands from the one table of options, and prints an invite link with the least permissions', async () => {
    const { discord, log } = await startBot()
    const [imagine, show] = discord.commands
    expect(imagine.options.map(({ name, type }: { name: string; type: number }) => `${name} ${type}`)).toEqual([
      'prompt 3',
      'negative 3',
      'seed 4',
      'steps 4',
      'guidance 10',
      'size 3',
      'aspect 3',
      'count 4',
      'transparent 5',
      'clip-skip 4',
    ])
    expect(imagine.options[0]).toMatchObject({ required: true, max_length: 2000 })
    expect(imagine.options[3]).toMatchObject({ required: false, min_value: 1, max_value: 100 })
    expect(imagine.options[5]).toMatchObject({ autocomplete: true })
    expect([imagine.contexts, show.name]).toEqual([[0, 1, 2], 'show'])
    const link = new URL(/https?:\/\/\S+/.exec(log.at(-1)!)![0])
    expect(`${link.origin}${link.pathname}`).toBe('https://discord.com/oauth2/authorize')
    expect(link.searchParams.get('scope')).toBe('bot applications.commands')
    // View channels, send messages, also in threads, attach files.
    expect(BigInt(link.searchParams.get('permissions')!)).toBe((1n << 10n) | (1n << 11n) | (1n << 38n) | (1n << 15n))
    expect(log.join()).not.toContain(discord.token)
  })

  it('says in one sentence that the token is wrong', async () => {
    const { platform, log } = await createBot({ token: 'wrong' })
    const sentence = /^Discord refused DISCORD_TOKEN; copy it again from https:\/\/discord\.com\/developers/
    await expect(platform.start()).rejects.toThrow(sentence)
    expect(log).toEqual([])
  })

  it('says that the address is wrong', async () => {
    const { apiUrl } = await openDiscord()
    const { platform } = await createBot({ apiUrl: apiUrl.replace('/api', '/somewhere') })
    await expect(platform.start()).rejects.toThrow('DISCORD_API_URL answered 404, which Discord does not; correct it.')
  })

  it('says why the gateway refused', async () => {
    const { platform, discord } = await createBot()
    discord.refuseSessions(4014)
    await expect(platform.start()).rejects.toThrow(/^Discord closed the connection for good \(4014 DisallowedIntents\)/)
  })

  it('waits for a Discord that cannot be reached, and says so', async () => {
    const port = await freePort()
    const bot = await createBot({ apiUrl: `http://127.0.0.1:${port}/api/` })
    const started = bot.platform.start()
    await expect.poll(() => bot.log.at(-1)).toMatch(/^Discord cannot be reached \(.*\); trying again in 1 s\.$/)
    const discord = await openDiscord(port)
    await started
    await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
  })

  it('stops waiting when it is told to', async () => {
    const bot = await createBot({ apiUrl: `http://127.0.0.1:${await freePort()}/api` })
    const started = expect(bot.platform.start()).rejects.toThrow('stopped before')
    await expect.poll(() => bot.log.length).toBe(1)
    await bot.platform.stop()
    await started
  })
})

describe('when time passes', () => {
  it('answers after the fifteen minutes of an interaction', async () => {
    const { discord, engine } = await startBot()
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    discord.expireTokens()
    ;(await engine.call(1)).finish()
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(1)
  })

  it('ends in the same message after a restart, and its buttons work on', async () => {
    const [discord, dataDir] = [await openDiscord(), await temporaryFolder()]
    const before = await startBot({ discord, dataDir })
    const alice = discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    await before.engine.call(1)
    await before.stop()
    expect(before.log.slice(1)).toEqual([])

    const after = await startBot({ discord, dataDir })
    after.engine.free = true
    ;(await after.engine.call(1)).finish()
    await message.until(/Imagine · /)
    expect(discord.messages).toEqual([message])
    await (await alice.clicks(message, 'V1')).until(/Variation · /)
  })

  it('posts a new message where a crash left none', async () => {
    const [discord, dataDir] = [await openDiscord(), await temporaryFolder()]
    const before = await startBot({ discord, dataDir })
    const place = { platform: 'discord', guild: discord.guildId, channel: discord.channel.id }
    const { id } = await before.queue.add(newJob({ place }))
    await before.stop()

    const { engine, queue } = await startBot({ discord, dataDir })
    ;(await engine.call(1)).finish()
    const message = await discord.message(1)
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(2)
    expect(discord.messages).toEqual([message])
    await expect.poll(async () => (await queue.get(id))!.place.message).toBe(message.id)
  })

  it('posts a message where the reply came too late, for the job is queued', async () => {
    const { discord, engine, log } = await startBot()
    discord.missInteractions()
    const unanswered = discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    unanswered.catch(() => {})
    ;(await engine.call(1)).finish()
    const message = await discord.message(1)
    await message.until(/Imagine · /)
    expect(log.at(-1)).toMatch(/^discord: the first message of job [0-9a-f]{16} failed, so it is posted again: Unknown/)
  })

  it('tells Discord to wait when the store is slow, and then answers all the same', async () => {
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const { discord } = await startBot({
      jobs: (store) => {
        const put = store.put.bind(store)
        store.put = async (job) => {
          await gate
          if (job.request.prompt === 'lost') throw new Error('The disk is full.')
          return put(job)
        }
        return store
      },
    })
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const [kept, lost] = await Promise.all([
      alice.types('/imagine', { prompt: 'kept' }),
      bob.types('/imagine', { prompt: 'lost' }),
    ])
    expect([kept.loading, lost.loading]).toEqual([true, true])
    open()
    await kept.until(/kept\nalice · (Queued|Drawing)/)
    await bob.hears(/cannot write its records just now/)
    expect(lost.deleted).toBe(true)
  })
})

describe('when Discord refuses', () => {
  it('waits as the headers say, and then draws what is newest', async () => {
    const { discord, engine } = await startBot()
    discord.limitRequests(2, 250)
    engine.free = true
    const people = ['alice', 'bob', 'carol'].map((name) => discord.member(name))
    // What the headers mean is known after the first answers.
    for (const _ of [1, 2]) await (await people[0]!.types('/imagine', { prompt: 'a pear' })).until(/Imagine · /)
    const messages = await Promise.all(people.map((person) => person.types('/imagine', { prompt: 'a red apple' })))
    await Promise.all(messages.map((message) => message.until(/Imagine · /)))
    expect(discord.limited).toBe(0)
  })

  it('never meets the limit of a real bucket, however fast the steps and long the line', async () => {
    const { discord, engine } = await startBot()
    // As Discord has it: five in five seconds for creates and edits together.
    discord.limitRequests(5, 5000)
    const alice = discord.member('alice')
    const messages = await Promise.all(['one', 'two', 'three'].map((prompt) => alice.types('/imagine', { prompt })))
    for (const [index, message] of messages.entries()) {
      const call = await engine.call(index + 1)
      for (let step = 1; step <= 10; step++) call.step(step, 20, new Uint8Array([step]))
      await message.until(/Drawing · 50 %/)
      call.finish()
      await message.until(/Imagine · /)
    }
    expect(discord.limited).toBe(0)
  })

  it('edits a place in line when it matters, not whenever it moves', async () => {
    const { discord, engine, reached } = await startBot({ limits: { waitingPerPerson: 100 } })
    const alice = discord.member('alice')
    const first = await alice.types('/imagine', { prompt: 'first' })
    for (let waiting = 1; waiting < 30; waiting++) {
      await alice.in(discord.newChannel('guild')).types('/imagine', { prompt: `picture ${waiting}` })
    }
    const last = await alice.in(discord.newChannel('guild')).types('/imagine', { prompt: 'last' })
    expect(last.text).toContain('30th in line')
    for (let count = 1; count <= 21; count++) (await engine.call(count)).finish()
    await engine.call(22)
    await reached(jobIn(first), 'done')
    await last.until(/ (10|9|8)th in line/)
    expect(last.edits).toBeLessThanOrEqual(2)
  })

  it('tries again after 429', async () => {
    const { discord, engine } = await startBot()
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    discord.refuseRequests(2)
    ;(await engine.call(1)).finish()
    await message.until(/Imagine · /)
    expect(discord.limited).toBe(2)
  })

  it('uses the token of the interaction, while it lives, where the bot is no member', async () => {
    const { discord, engine, jobs } = await startBot()
    const alice = discord.member('alice').in(discord.newChannel('group'))
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    const call = await engine.call(1)
    call.step(5, 20)
    await message.until(/Drawing · 25 %/)
    call.finish()
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(1)
    expect(discord.requests.filter((request) => request.startsWith('PATCH /api/v10/channels'))).toEqual([])

    await alice.clicks(message, '🔄')
    discord.expireTokens()
    ;(await engine.call(2)).finish()
    await allAnswered({ jobs })
  })

  it('says which permission is missing: before the work, or else in place of the pictures', async () => {
    const { discord, engine } = await startBot()
    const alice = discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    discord.channel.botAttaches = false
    ;(await engine.call(1)).finish()
    await message.until(/lacks the permission “Attach Files” in this channel; with it, \/show brings them/)
    expect(message.attachments).toEqual([])
    await alice.types('/imagine', { prompt: 'another' })
    expect(alice.told).toEqual([
      'Seedling lacks the permission “Attach Files” in this channel; ask those who run this server to allow it.',
    ])
    expect(engine.calls).toHaveLength(1)
  })

  it('shows a picture that is too large as WebP, and says so, even if it learns of the limit too late', async () => {
    const [discord, dataDir] = [await openDiscord(), await temporaryFolder()]
    const noise = sharp({ create: { width: 200, height: 200, channels: 3, background: 'red', noise: NOISE } })
    const png = await noise.png().toBuffer()
    const large = (store: PictureStore) => {
      const write = store.write.bind(store)
      store.write = (job, index) => write(job, index, png)
      return store
    }
    discord.limitAttachments(png.length - 1)
    const before = await startBot({ discord, dataDir, pictures: large })
    const alice = discord.member('alice')
    const told = await alice.types('/imagine', { prompt: 'one' })
    const untold = await alice.types('/imagine', { prompt: 'two' })
    ;(await before.engine.call(1)).finish()
    await told.until(/Imagine · /)
    await before.stop()
    const after = await startBot({ discord, dataDir, pictures: large })
    ;(await after.engine.call(1)).finish()
    await untold.until(/Imagine · /)

    for (const { attachments, text } of [told, untold]) {
      expect(attachments).toMatchObject([{ name: expect.stringMatching(/-1\.webp$/), type: 'image/webp' }])
      const { format, width } = await sharp(attachments[0]!.data).metadata()
      expect({ format, width }).toEqual({ format: 'webp', width: 200 })
      expect(text).toContain('Shown as WebP: the PNG is larger than Discord takes here.')
    }
  })
})

const [LOST, BACK] = ['Discord: the connection is lost; trying again.', 'Discord: the connection is back.']
const NOISE = { type: 'gaussian', mean: 128, sigma: 60 } as const

describe('when the connection is lost', () => {
  it('answers what came in the meantime, and what comes twice once', async () => {
    const { discord, engine, log } = await startBot()
    const alice = discord.member('alice')
    await alice.types('/imagine', { prompt: 'one' })
    discord.repeatLastEvent()
    discord.dropConnections()
    await alice.types('/imagine', { prompt: 'two' })
    expect(discord.messages.map(({ text }) => text.split('\n')[0])).toEqual(['one', 'two'])
    ;(await engine.call(1)).finish()
    expect((await engine.call(2)).request.prompt).toBe('two')
    await expect.poll(() => log.slice(1)).toEqual([LOST, BACK])
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
