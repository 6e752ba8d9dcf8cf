import { describe, expect, it } from 'vitest'
import type { FakeMessage } from '../fakes/discord/index.ts'
import type { Call } from '../queue/engine.ts'
import { startBot } from './bot.ts'

describe('a member of a guild', () => {
  it('types a sentence and gets pictures with buttons, in one message', async () => {
    const { discord, engine, pictures, jobs } = await startBot()
    const alice = discord.member('alice', 'Alice *the* great')
    const message = await alice.types('/imagine', { prompt: 'a red apple', seed: 7, count: 4, negative: 'leaves' })
    expect(message.text).toMatch(/^a red apple\nAlice \*the\* great · (Queued|Drawing)/)
    expect(message.buttons).toEqual([['Cancel']])

    const call = await engine.call(1)
    call.step(5, 20, new Uint8Array([1, 2]))
    await message.until(/Drawing · 25 %/)
    expect(message.text).toContain('▰▰▰▰▰▱')
    expect(message.attachments).toMatchObject([{ name: 'preview.png', data: Buffer.from([1, 2]) }])
    call.finish()

    await message.until(/Imagine · /)
    const id = /job ([0-9a-f]{16})/.exec(message.text)![1]!
    expect(message.text).toContain(`seed 7 · steps 20 · guidance 4 · size 64x64 · count 4 · job ${id}`)
    expect(message.text).toContain('without leaves')
    expect(message.attachments.map(({ description }) => description)).toEqual(
      [1, 2, 3, 4].map((number) => `a red apple (picture ${number} of 4)`),
    )
    expect(message.attachments[3]!.data).toEqual(await pictures.read(id, 3))
    expect(message.buttons).toEqual([
      ['🔄', 'V1', 'V2', 'V3', 'V4'],
      ['U1', 'U2', 'U3', 'U4', '🗑'],
    ])
    expect(discord.messages).toEqual([message])
    expect(await jobs.get(id)).toMatchObject({
      author: { id: alice.id, name: 'Alice *the* great' },
      place: { platform: 'discord', guild: discord.guildId, channel: discord.channel.id, message: message.id },
    })
  })

  it('re-rolls, varies and enlarges what anybody made, each in a new message of their own', async () => {
    const { discord, engine } = await startBot()
    engine.free = true
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const first = await alice.types('/imagine', {
      prompt: 'a red apple',
      seed: 7,
      count: 2,
      transparent: true,
      'clip-skip': 2,
    })
    await first.until(/Imagine · /)
    const answers: FakeMessage[] = []
    for (const [label, title] of [
      ['🔄', 'Re-roll'],
      ['V2', 'Variation'],
      ['U1', 'Upscale'],
    ] as const) {
      const message = await bob.clicks(first, label)
      await message.until(new RegExp(`bob · ${title} · `))
      answers.push(message)
    }
    expect(new Set([first, ...answers]).size).toBe(4)
    expect(answers.map(({ attachments }) => attachments.length)).toEqual([2, 2, 1])
    const { images, upscale } = engine.calls[3]!.request
    expect({ images, upscale }).toEqual({ images: [{ seed: 7, variations: [] }], upscale: 2 })
    for (const { request } of engine.calls) expect(request).toMatchObject({ transparent: true, clipSkip: 2 })

    const varied = await alice.clicks(answers[1]!, 'V1')
    await varied.until(/Variation · .*\n.*seed 8 → \d+ \(0\.25\) → \d+ \(0\.25\)/)
    expect(varied.buttons).toEqual([
      ['🔄', 'V1', 'V2'],
      ['U1', 'U2', '🗑'],
    ])
  })

  it('cancels and deletes what is their own, and nothing else', async () => {
    const { discord, engine, pictures, queue } = await startBot()
    const [alice, bob] = [discord.member('alice', 'Alice'), discord.member('bob')]
    const running = await alice.types('/imagine', { prompt: 'one' })
    const call: Call = await engine.call(1)
    const waiting = await alice.types('/imagine', { prompt: 'two' })
    expect(waiting.text).toContain('Queued · next in line')

    expect((await bob.clicks(waiting, 'Cancel')).ephemeral).toBe(true)
    expect(bob.told).toEqual(['Only Alice can cancel this.'])
    expect(await alice.clicks(waiting, 'Cancel')).toBe(waiting)
    await waiting.until(/Cancelled/)
    expect(waiting.buttons).toEqual([['🔄', '🗑']])
    await alice.clicks(running, 'Cancel')
    await running.until(/Cancelled/)
    expect(call.signal!.aborted).toBe(true)
    expect(running.attachments).toEqual([])

    const done = await alice.clicks(running, '🔄')
    ;(await engine.call(2)).finish()
    await done.until(/Re-roll · /)
    await bob.clicks(done, '🗑')
    expect(bob.told.at(-1)).toBe('Only Alice can delete this.')
    expect(done.deleted).toBe(false)
    const id = /job ([0-9a-f]{16})/.exec(done.text)![1]!
    await alice.clicks(done, '🗑')
    await done.until(({ deleted }) => deleted)
    expect(await pictures.read(id, 0)).toBeUndefined()
    expect(await queue.get(id)).toMatchObject({ pictures: [] })
    expect(alice.told).toEqual([])
  })

  it('may write flags into the prompt, but what stands in an option of its own wins', async () => {
    const { discord, engine } = await startBot()
    const alice = discord.member('alice')
    await alice.types('/imagine', {
      prompt: 'a red apple --seed 1 --steps 9 --transparent --clip-skip 3 --no leaves',
      seed: 2,
    })
    const { request } = await engine.call(1)
    expect(request).toMatchObject({
      prompt: 'a red apple',
      negativePrompt: 'leaves',
      numInferenceSteps: 9,
      transparent: true,
      clipSkip: 3,
      images: [{ seed: 2 }],
    })
  })

  it('is told in a sentence of their own what is wrong, and nothing is queued', async () => {
    const { discord, engine, log } = await startBot({ limits: { waitingPerPerson: 1 } })
    const alice = discord.member('alice')
    await alice.types('/imagine', { prompt: 'a red apple --steps 1000' })
    await alice.types('/imagine', { prompt: 'a red apple --sped 3' })
    await alice.types('/imagine', { prompt: ' ' })
    await alice.types('/imagine', { prompt: 'a red apple', size: '65x65' })
    await alice.types('/show', { job: '../../etc/passwd' })
    expect(alice.told).toEqual([
      'steps is “1000”; it must be a whole number from 1 to 100.',
      '--sped is not an option (did you mean --seed?); use --negative, --seed, --steps, --guidance, --size, --aspect, --count, --transparent or --clip-skip.',
      'prompt is empty; say what to draw, such as /imagine a red apple.',
      'size is “65x65”; both sides must be multiples of 8 from 8 to 128, such as 64x64.',
      'job is “../../etc/passwd”; it must be the number under its pictures, or a link to its message.',
    ])
    expect(alice.givenBack).toEqual([
      '/imagine a red apple --steps 1000',
      '/imagine a red apple --sped 3',
      '/imagine',
      '/imagine a red apple --size 65x65',
    ])
    expect([engine.calls, discord.messages]).toEqual([[], []])

    await alice.types('/imagine', { prompt: 'one' })
    await engine.call(1)
    await alice.types('/imagine', { prompt: 'two' })
    await alice.types('/imagine', { prompt: 'three' })
    expect(alice.told.at(-1)).toMatch(/^You have 1 job waiting, and 1 is the most for one person;/)
    expect(log.filter((line) => line.includes('unexpected'))).toEqual([])
  })

  it('is helped to complete sizes and ratios', async () => {
    const { discord } = await startBot()
    const alice = discord.member('alice')
    expect(await alice.completes('/imagine', 'aspect', '')).toContain('16:9')
    expect(await alice.completes('/imagine', 'aspect', ' 16')).toEqual(['16:9', '9:16'])
    expect(await alice.completes('/imagine', 'size', '<script>')).toEqual([])
  })

  it('brings a job up again with /show, and may delete it from there', async () => {
    const { discord, engine } = await startBot()
    engine.free = true
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    await message.until(/Imagine · /)
    const job = /job ([0-9a-f]{16})/.exec(message.text)![1]!
    const shown = await bob.types('/show', { job: ` ${job} ` })
    await shown.until(({ attachments }) => attachments.length === 1)
    expect([shown.text, shown.buttons]).toEqual([message.text, message.buttons])
    await bob.in(discord.newChannel('dm')).types('/show', { job })
    expect(bob.told).toEqual(['That job was drawn elsewhere; ask for it there.'])
    await alice.clicks(shown, '🗑')
    await Promise.all([message, shown].map((gone) => gone.until(({ deleted }) => deleted)))
  })

  it('gets a polite answer from a button of another age', async () => {
    const { discord, engine, log } = await startBot()
    engine.free = true
    const alice = discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    await message.until(/Imagine · /)
    await alice.clicksId(message, 'upscale_3_old')
    await alice.clicksId(message, 'vary:7:0123456789abcdef')
    const job = /job ([0-9a-f]{16})/.exec(message.text)![1]!
    await alice.clicksId(message, `upscale:7:${job}`)
    expect(alice.told).toEqual([
      'This button does nothing any more; use /imagine to draw.',
      'That job is no longer there; use /imagine to draw again.',
      'picture is 8; this job has 1.',
    ])
    expect(log.filter((line) => line.includes('unexpected'))).toEqual([])
  })

  it('cannot make the bot ping, link, style or hide anything', async () => {
    const { discord, engine } = await startBot()
    engine.free = true
    const alice = discord.member('alice', '</b> @everyone')
    const hostile =
      '# @everyone @here <@12:1> <@&x> <#y> [free nitro](evil.example) ||x|| **b** `c` ' +
      '```js\nd``` ~~e~~ _f_ <t:z:R> <:g:> :skull: </imagine:> discord.gg \\*h\\* 😀'
    const message = await alice.types('/imagine', { prompt: hostile, negative: '@here **x**' })
    await message.until(/Imagine · /)
    const [prompt, author, ...rest] = message.text.split('\n')
    expect(prompt).toBe(hostile.replace(/\s+/g, ' '))
    expect(author).toContain('</b> @everyone · Imagine')
    expect(rest[0]).toBe('without @here **x**')
    expect(message.flags & 4).toBe(4)
    expect(message.attachments[0]!.description).toContain('@everyone')
    const limits = { prompt: `${'*'.repeat(1998)}🍎`, negative: '_'.repeat(2000) }
    const long = await alice.types('/imagine', limits)
    await long.until(/Imagine · /)
    expect(long.text).toMatch(/^\*{300,}…\n.*\nwithout _{100,}…\nseed/)
  })
})

describe('somebody in a direct message', () => {
  it('is served as in a guild, and limited on their own', async () => {
    const { discord, engine, jobs } = await startBot()
    engine.free = true
    const alice = discord.member('alice').in(discord.newChannel('dm'))
    const message = await alice.types('/imagine', { prompt: 'a red apple' })
    await message.until(/Imagine · /)
    const job = await jobs.get(/job ([0-9a-f]{16})/.exec(message.text)![1]!)
    expect(job!.place.guild).toBe(`dm:${alice.id}`)
    expect(discord.requests.filter((request) => request.includes('webhooks'))).toEqual([])
  })
})
