import { describe, expect } from 'vitest'
import { allAnswered, type Garden, started, test } from './garden.ts'

/** A job at the engine, and its message. */
async function running(garden: Garden, person: { types(line: string): Promise<void> }) {
  await person.types('/imagine a red apple')
  const message = await garden.slack.nextMessage()
  return { message, call: await garden.call() }
}

describe.concurrent('when Slack refuses for good', () => {
  test.for(['storage_limit_reached', 'file_uploads_disabled', 'missing_scope', 'something_new'])(
    'pictures (%s): the message says why and what to do, once',
    async (error, { garden, alice }) => {
      const { message, call } = await running(garden, alice)
      garden.slack.fails('files.getUploadURLExternal', { error })
      call.finish()
      await message.until(({ shown }) => /those who run this workspace/.test(shown))
      expect(message.shown).not.toContain('apple')
      expect([message.pictures, message.buttons]).toEqual([[], ['🗑']])
      await allAnswered(garden)
      expect(garden.log.filter((line) => line.includes(error))).toHaveLength(1)
      expect(garden.log.join()).not.toContain('apple')
      expect(garden.slack.calls('files.getUploadURLExternal')).toHaveLength(1)
    },
  )

  test('an edit, and the text too: it ends, with one line in the log', async ({ garden, alice }) => {
    const { call } = await running(garden, alice)
    garden.slack.fails('chat.update', { error: 'restricted_action' }, { error: 'restricted_action' })
    call.finish()
    await allAnswered(garden)
    expect(garden.log.filter((line) => line.includes('restricted_action'))).toHaveLength(1)
    expect(garden.slack.calls('chat.update')).toHaveLength(2)
  })

  test('any edit: the result is posted anew, and the old message removed', async ({ garden, alice }) => {
    const { message, call } = await running(garden, alice)
    garden.slack.fails('chat.update', { error: 'edit_window_closed' })
    call.finish()
    const anew = await garden.slack.nextMessage()
    await anew.until(({ pictures }) => pictures.length === 1)
    await message.until(({ isDeleted }) => isDeleted)
    await allAnswered(garden)
    expect((await garden.jobOf(anew)).place.message).toContain(anew.ts)
  })

  test('the first message: its author is told, gets the line back, and nothing is drawn', async ({ garden, alice }) => {
    garden.slack.fails('chat.postMessage', { error: 'restricted_action_read_only_channel' })
    await alice.types('/imagine a red apple --seed 7')
    const { shown } = await alice.hears()
    expect(shown).toMatch(/Apps may not post in this channel; ask for pictures in another one/)
    expect(shown).toContain('/imagine a red apple --seed 7')
    expect(garden.queue.unfinished()).toEqual([])
  })

  test('the token under way: the platform ends with a sentence', async ({ soil, alice }) => {
    const bot = await started(soil)
    await alice.types('/imagine a red apple')
    await soil.slack.nextMessage()
    const revoked = { error: 'token_revoked' }
    soil.slack.fails('files.getUploadURLExternal', revoked)
    soil.slack.fails('chat.update', revoked, revoked)
    ;(await soil.call()).finish()
    expect((await bot.failed!).message).toMatch(/^Slack refused \(token_revoked\); .*SLACK_BOT_TOKEN\.$/)
    await bot.stop()
  })

  test('a form that is asked for too late: a sentence says so', async ({ garden, alice }) => {
    garden.slack.fails('views.open', { error: 'expired_trigger_id' })
    await alice.types('/imagine')
    expect((await alice.hears()).shown).toMatch(/opens a form within three seconds only/)
    garden.slack.fails('views.open', { error: 'exchanged_trigger_id' })
    await garden.slack.delivery.deliver(alice.shortcut())
    const told = await garden.slack.nextMessage()
    expect([told.channel, told.shown]).toEqual([alice.direct, expect.stringMatching(/please ask again/)])
    expect(garden.log).toEqual([])
  })

  test('what is wrong is given back to be mended, also from the form', async ({ garden, alice }) => {
    await alice.types('/imagine a pear --steps 900')
    expect((await alice.hears()).shown).toMatch(/^steps is “900”.*\n\/imagine a pear --steps 900$/)
    for (const fruit of ['apple', 'plum', 'fig']) await alice.types(`/imagine a ${fruit}`)
    const form = await alice.opensShortcut()
    await form.submits({ prompt: 'a pear', steps: '9', channel: garden.slack.general })
    expect((await alice.hears()).shown).toMatch(/waiting[\s\S]*\n\/imagine a pear --steps 9$/)
  })
})

describe.concurrent('what passes', () => {
  test.for([{ status: 503 }, { error: 'internal_error' }, { error: 'service_unavailable' }])(
    'lets the first message come later: %j',
    async (fault, { garden, alice }) => {
      garden.slack.fails('chat.postMessage', fault)
      await alice.types('/imagine a red apple')
      const message = await garden.slack.nextMessage()
      ;(await garden.call()).finish()
      await message.until(({ pictures }) => pictures.length === 1)
      expect(garden.slack.messages).toHaveLength(1)
    },
  )
})

describe.concurrent('a message that was deleted', () => {
  test('ends its job at the next step, and the next begins', async ({ garden, alice, mallory }) => {
    const { message, call } = await running(garden, alice)
    await mallory.types('/imagine a pear')
    message.isDeleted = true
    call.step(5, 20)
    expect((await garden.call()).request.prompt).toBe('a pear')
    expect(call.signal!.aborted).toBe(true)
    expect(garden.log).toEqual([])
  })
})
