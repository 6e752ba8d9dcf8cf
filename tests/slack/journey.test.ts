import { describe, expect } from 'vitest'
import { drawn, test } from './garden.ts'

describe.concurrent('/imagine', () => {
  test('answers at once, shows how far it is, and puts the pictures and buttons into the same message', async ({
    garden,
    alice,
  }) => {
    await alice.types('/imagine a red apple --seed 7 --count 4')
    const message = await garden.slack.nextMessage()
    expect(message.channel).toBe(garden.slack.general)
    expect(message.shown).toContain('a red apple')
    expect(message.shown).toContain('Queued · next in line · about 12 s')
    expect(message.buttons).toEqual(['Cancel'])

    const { id } = garden.queue.latest
    garden.queue.runs(id, 10, 20)
    await message.until(({ shown }) => shown.includes('▰▰▰▰▰▰▱▱▱▱▱▱  Drawing · 50 % · about 3.0 s'))

    await garden.queue.finishes(id)
    await message.until(({ buttons }) => buttons.includes('🔄'))
    expect(message.rows).toEqual([
      ['🔄', 'V1', 'V2', 'V3', 'V4'],
      ['U1', 'U2', 'U3', 'U4', '🗑'],
    ])
    expect(message.shown).toContain('alice · seed 7 · steps 20')
    expect(message.shown).toContain('[2: a red apple (picture 2 of 4)]')
    expect(message.pictures.map(({ bytes }) => bytes!.toString())).toEqual(
      [0, 1, 2, 3].map((n) => `picture ${n} of ${id}`),
    )
    expect(message.pictures.map(({ name }) => name)).toContain(`seedling-${id}-4.png`)
    expect(garden.slack.messages).toEqual([message])
  })

  test('works in a direct message, which counts as its own guild', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple', alice.direct)
    expect((await garden.slack.nextMessage()).channel).toBe(alice.direct)
    expect(garden.queue.latest.place.guild).toBe(`dm:${alice.user.id}`)
  })

  test('tells the asker alone what is wrong, and queues nothing', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple --steps 900')
    expect((await alice.hears()).shown).toBe('steps is “900”; it must be a whole number from 1 to 100.')
    await alice.types('/imagine a red apple --speed 900')
    expect((await alice.hears()).shown).toContain('--speed is not an option; use --negative, --seed')
    garden.queue.refusal = 'You have 5 jobs waiting; let one finish first.'
    await alice.types('/imagine a red apple')
    expect((await alice.hears()).shown).toBe('You have 5 jobs waiting; let one finish first.')
    expect(garden.queue.jobs.size).toBe(0)
    expect(garden.slack.messages).toEqual([])
  })

  test('says why a job failed', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    garden.queue.fails(garden.queue.latest.id, 'The engine stopped twice; please try again.')
    await message.until(({ shown }) => shown.includes('The engine stopped twice; please try again.'))
    expect(message.buttons).toEqual(['🔄', '🗑'])
  })

  test('asks to be invited where it is no member, and keeps nothing of the job', async ({ garden, alice }) => {
    for (const channel of [garden.slack.random, garden.slack.secret]) {
      await alice.types('/imagine a red apple', channel)
      expect((await alice.hears()).shown).toContain('type /invite @seedling here and ask again')
      expect(garden.queue.latest).toMatchObject({ state: 'cancelled', deletedAt: expect.any(Number) })
      expect(garden.queue.latest.answeredAt).toBeDefined()
    }
    garden.slack.general.isArchived = true
    await alice.types('/imagine a red apple')
    expect((await alice.hears()).shown).toContain('archived')
  })

  test('explains itself', async ({ garden, alice }) => {
    await alice.types('/imagine help')
    const help = (await alice.hears()).shown
    for (const { name } of garden.commands.options.filter(({ required }) => !required))
      expect(help).toContain(`--${name}`)
    expect(garden.queue.jobs.size).toBe(0)
  })

  test('shows a job again to whoever asks for it, with its command', async ({ garden, alice, mallory }) => {
    await drawn(garden, alice, '/imagine a red apple --seed 7')
    const { id } = garden.queue.latest
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
    await garden.slack.nextMessage()
    const { id } = garden.queue.latest
    await mallory.types(`/imagine show ${id}`)
    expect((await mallory.hears()).shown).not.toContain('secret')
    await alice.types(`/imagine show ${id}`)
    expect((await alice.hears()).shown).toContain('a secret')
  })

  test('draws once when Slack delivers an event twice', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    await alice.typesAgain()
    await garden.slack.nextMessage()
    await alice.types('/imagine a pear')
    expect((await garden.slack.nextMessage()).shown).toContain('a pear')
    expect(garden.queue.jobs.size).toBe(2)
  })
})

describe.concurrent('buttons', () => {
  test('re-roll, vary and enlarge for anyone, in a new message that belongs to whoever clicked', async ({
    garden,
    alice,
    mallory,
  }) => {
    const message = await drawn(garden, alice, '/imagine a red apple --seed 7 --count 2')
    const parent = garden.queue.latest
    for (const [label, action, index] of [
      ['🔄', 'reroll', 0],
      ['V2', 'vary', 1],
      ['U1', 'upscale', 0],
    ] as const) {
      await mallory.clicks(message, label)
      const answer = await garden.slack.nextMessage()
      expect(answer.shown).toContain('mallory')
      expect(answer.channel).toBe(message.channel)
      const author = { id: mallory.user.id, name: 'mallory' }
      expect(garden.queue.latest).toMatchObject({ action, author, parent: { job: parent.id, index } })
      await garden.queue.finishes(garden.queue.latest.id)
      await answer.until(({ buttons }) => buttons.includes('🗑'))
    }
    expect(garden.queue.latest.request).toMatchObject({ upscale: 2, seed: 7, numImagesPerPrompt: 1 })
    expect(message.buttons).toContain('🔄')
  })

  test('cancel for the author alone', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    garden.queue.runs(garden.queue.latest.id, 1, 20)
    await mallory.clicks(message, 'Cancel')
    expect((await mallory.hears()).shown).toBe('Only alice can cancel this.')
    expect(garden.queue.latest.state).toBe('running')
    await alice.clicks(message, 'Cancel')
    await message.until(({ shown }) => shown.includes('Cancelled'))
  })

  test('delete, for the author alone, the message and the files that it shows', async ({ garden, alice, mallory }) => {
    const message = await drawn(garden, alice, '/imagine a red apple --count 2')
    const files = message.pictures
    await mallory.clicks(message, '🗑')
    expect((await mallory.hears()).shown).toBe('Only alice can delete this.')
    expect(message.isDeleted).toBe(false)
    await alice.clicks(message, '🗑')
    await message.until(({ isDeleted }) => isDeleted && files.every(({ isDeleted }) => isDeleted))
    expect(files).toHaveLength(2)
    expect(garden.slack.messages).toEqual([])
  })

  test('work for a guest from another workspace, and count for the one that the bot lives in', async ({
    garden,
    alice,
  }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    const guest = garden.slack.person('guest', 'T0ELSEWHERE')
    await guest.clicks(message, '🔄')
    await garden.slack.nextMessage()
    expect(garden.queue.latest).toMatchObject({
      author: { name: 'guest' },
      place: { guild: garden.slack.workspace.team.id },
    })
    await guest.clicks(message, '🗑')
    expect((await guest.hears()).shown).toBe('Only alice can delete this.')
  })

  test('say so when their job is gone', async ({ garden, alice }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    garden.queue.jobs.delete(garden.queue.latest.id)
    await alice.clicks(message, 'V1')
    expect((await alice.hears()).shown).toContain('no longer there')
  })
})
