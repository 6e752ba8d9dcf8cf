import { describe, expect } from 'vitest'
import { drawn, test } from './garden.ts'

describe.concurrent('/imagine', () => {
  test('answers at once, shows how far it is, and puts the pictures and buttons into the same message', async ({
    garden,
    alice,
    mallory,
  }) => {
    await mallory.types('/imagine something that takes its time')
    await garden.slack.nextMessage()
    const slow = await garden.call()
    await alice.types('/imagine a red apple --seed 7 --count 4')
    const message = await garden.slack.nextMessage()
    expect(message.channel).toBe(garden.slack.general)
    expect(message.shown).toMatch(/^a red apple\n▱▱▱▱▱▱▱▱▱▱▱▱ {2}Queued · next in line/)
    expect(message.buttons).toEqual(['Cancel'])
    slow.finish()

    const call = await garden.call()
    call.step(10, 20, new Uint8Array([1]))
    await message.until(({ shown }) => shown.includes('▰▰▰▰▰▰▱▱▱▱▱▱  Drawing · 50 %'))
    expect(message.pictures).toEqual([])

    call.finish()
    await message.until(({ buttons }) => buttons.includes('🔄'))
    expect(message.rows).toEqual([
      ['🔄', 'V1', 'V2', 'V3', 'V4'],
      ['U1', 'U2', 'U3', 'U4', '🗑'],
    ])
    const { id } = await garden.jobOf(message)
    expect(message.shown).toContain(`alice · seed 7 · steps 20 · guidance 4 · size 64x64 · count 4 · job ${id}`)
    expect(message.shown).toContain('[2: a red apple (picture 2 of 4)]')
    const pictures = await Promise.all([0, 1, 2, 3].map((index) => garden.pictures.read(id, index)))
    expect(message.pictures.map(({ bytes }) => bytes)).toEqual(pictures)
    expect(message.pictures.map(({ name }) => name)).toContain(`seedling-${id}-4.png`)
    expect(garden.slack.messages).toHaveLength(2)
  })

  test('works in a direct message, which counts as its own guild', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple', alice.direct)
    const message = await garden.slack.nextMessage()
    expect(message.channel).toBe(alice.direct)
    expect((await garden.jobOf(message)).place.guild).toBe(`dm:${alice.user.id}`)
  })

  test('tells the asker alone what is wrong, and queues nothing', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a red apple --steps 900')
    expect((await alice.hears()).shown).toBe(
      'steps is “900”; it must be a whole number from 1 to 100.\n/imagine a red apple --steps 900',
    )
    await alice.types('/imagine a red apple --speed 900')
    expect((await alice.hears()).shown).toContain(
      '--speed is not an option (did you mean --seed?); use --negative, --seed',
    )
    await alice.types('/imagine --seed 7')
    expect((await alice.hears()).shown).toContain('prompt is empty')
    await drawn(garden, mallory, '/imagine a pear')
    expect(garden.slack.messages).toHaveLength(1)
  })

  test('refuses in words what is too much', async ({ garden, alice }) => {
    for (const fruit of ['apple', 'pear', 'plum', 'fig']) await alice.types(`/imagine a ${fruit}`)
    expect((await alice.hears()).shown).toMatch(/waiting/)
    await garden.slack.nextMessage()
    await garden.slack.nextMessage()
    await garden.slack.nextMessage()
  })

  test('says why a job failed', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    ;(await garden.call()).fail(new Error('out of memory at 0xbeef'))
    await message.until(({ shown }) => shown.includes('Sorry, something failed on our side'))
    expect(message.shown).not.toContain('0xbeef')
    expect(message.buttons).toEqual(['🔄', '🗑'])
  })

  test('asks to be invited where it is no member, and draws nothing', async ({ garden, alice }) => {
    for (const channel of [garden.slack.random, garden.slack.secret]) {
      await alice.types('/imagine a red apple', channel)
      expect((await alice.hears()).shown).toContain('type /invite @seedling here and ask again')
    }
    garden.slack.general.isArchived = true
    await alice.types('/imagine a red apple')
    expect((await alice.hears()).shown).toContain('archived')
    expect(await garden.queue.recover()).toEqual([])
  })

  test('explains itself', async ({ garden, alice }) => {
    await alice.types('/imagine help')
    const help = (await alice.hears()).shown
    const { options } = garden.commands
    for (const { name } of options.filter(({ required }) => !required)) expect(help).toContain(`--${name}`)
    expect(garden.slack.messages).toEqual([])
  })

  test('shows a job again to whoever asks for it, with its command', async ({ garden, alice, mallory }) => {
    const { id } = await garden.jobOf(await drawn(garden, alice, '/imagine a red apple --seed 7'))
    await mallory.types(`/imagine show ${id}`)
    const shown = await mallory.hears()
    expect(shown.shown).toContain('/imagine a red apple --seed 7')
    expect(shown.pictures).toHaveLength(1)
    await mallory.clicks(shown, 'U1')
    expect((await garden.slack.nextMessage()).shown).toContain('mallory')
    await mallory.types('/imagine show 0123456789abcdef')
    expect((await mallory.hears()).shown).toContain('no longer there')
  })

  test('does not show what was drawn in somebody else’s direct messages', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a secret', alice.direct)
    const { id } = await garden.jobOf(await garden.slack.nextMessage())
    await mallory.types(`/imagine show ${id}`)
    expect((await mallory.hears()).shown).not.toContain('secret')
    await alice.types(`/imagine show ${id}`)
    expect((await alice.hears()).shown).toContain('a secret')
  })

  test('draws once when Slack delivers an event twice', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    await alice.typesAgain()
    await alice.types('/imagine a pear')
    await garden.slack.nextMessage()
    expect((await garden.slack.nextMessage()).shown).toContain('a pear')
  })
})

describe.concurrent('buttons', () => {
  test('re-roll, vary and enlarge for anyone, in a new message that belongs to whoever clicked', async ({
    garden,
    alice,
    mallory,
  }) => {
    const message = await drawn(garden, alice, '/imagine a red apple --seed 7 --count 2')
    const parent = await garden.jobOf(message)
    for (const [label, action, index, count] of [
      ['🔄', 'reroll', 0, 2],
      ['V2', 'vary', 1, 2],
      ['U1', 'upscale', 0, 1],
    ] as const) {
      await mallory.clicks(message, label)
      const answer = await garden.slack.nextMessage()
      expect(answer.channel).toBe(message.channel)
      const author = { id: mallory.user.id, name: 'mallory' }
      const origin = { job: parent.id, index }
      expect(await garden.jobOf(answer)).toMatchObject({ action, author, parent: origin })
      ;(await garden.call()).finish()
      await answer.until(({ pictures }) => pictures.length === count)
      expect(answer.shown).toContain('mallory')
    }
    expect(message.drawn).toBeLessThan(5)
    expect(message.buttons).toContain('🔄')
  })

  test('cancel for the author alone', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const call = await garden.call()
    await mallory.clicks(message, 'Cancel')
    expect((await mallory.hears()).shown).toBe('Only alice can cancel this.')
    expect(call.signal!.aborted).toBe(false)
    await alice.clicks(message, 'Cancel')
    await message.until(({ shown }) => shown.includes('Cancelled'))
    expect(call.signal!.aborted).toBe(true)
  })

  test('delete, for the author alone, the message and the files that it shows', async ({ garden, alice, mallory }) => {
    const message = await drawn(garden, alice, '/imagine a red apple --count 2')
    const { id } = await garden.jobOf(message)
    const files = message.pictures
    await mallory.clicks(message, '🗑')
    expect((await mallory.hears()).shown).toBe('Only alice can delete this.')
    expect(message.isDeleted).toBe(false)
    await alice.clicks(message, '🗑')
    await message.until(({ isDeleted }) => isDeleted && files.every(({ isDeleted }) => isDeleted))
    expect(files).toHaveLength(2)
    expect(await garden.pictures.has(id)).toBe(false)

    await alice.clicks(message, 'V1')
    expect((await alice.hears()).shown).toContain('no longer there')
  })

  test('work for a guest from another workspace, and count for the bot’s own', async ({ garden, alice }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    const guest = garden.slack.person('guest', 'T0ELSEWHERE')
    await guest.clicks(message, '🔄')
    const answer = await garden.slack.nextMessage()
    const { team } = garden.slack.workspace
    expect(await garden.jobOf(answer)).toMatchObject({ author: { name: 'guest' }, place: { guild: team.id } })
    await guest.clicks(message, '🗑')
    expect((await guest.hears()).shown).toBe('Only alice can delete this.')
  })
})
