import { describe, expect, onTestFinished } from 'vitest'
import { served, started, test } from './garden.ts'

/** What would end the program: a rejection or an exception that nobody handles. */
function watchTheProcess(): unknown[] {
  const ends: unknown[] = []
  const note = (error: unknown) => void ends.push(error)
  process.on('unhandledRejection', note).on('uncaughtException', note)
  onTestFinished(() => void process.off('unhandledRejection', note).off('uncaughtException', note))
  return ends
}

const PAYLOADS = [
  null,
  [],
  7,
  'text',
  {},
  { type: 'block_actions' },
  { type: 'block_actions', user: null, actions: [] },
  { type: 'block_actions', user: { id: 'U1' }, actions: [null] },
  { type: 'block_actions', user: { id: 'U1' }, actions: 7 },
  { type: 'view_submission', user: { id: 'U1' } },
  { type: 'view_submission', user: { id: 'U1' }, view: { callback_id: 'imagine', state: { values: null } } },
  { type: 'shortcut', user: { id: 'U1' } },
  { type: 'event_callback' },
  { type: 'event_callback', event: null },
  { type: 'toString', user: { id: 'U1' } },
  { command: '/imagine' },
  { command: 7 },
]

describe('signed garbage', () => {
  test('over HTTP is one line in the log, and the bot serves on', async ({ soil, alice }) => {
    const ends = watchTheProcess()
    const { bot, delivery } = await served(soil)
    const bodies = PAYLOADS.map((payload) => `payload=${encodeURIComponent(JSON.stringify(payload))}`)
    for (const body of [...bodies, 'payload=', 'payload=%', 'payload={', 'x', '']) {
      const before = soil.log.length
      const { status } = await delivery.post(body)
      expect([200, 400, 404], body).toContain(status)
      expect(soil.log.length - before, `${body}: ${soil.log.slice(before).join('; ')}`).toBe(1)
    }
    for (const body of ['null', '7', '[]', '"x"', '{']) {
      const before = soil.log.length
      await delivery.post(body, 'application/json')
      expect(soil.log.length - before, `${body}: ${soil.log.slice(before).join('; ')}`).toBe(1)
    }
    await alice.types('/imagine a red apple')
    await soil.slack.nextMessage()
    await bot.stop()
    expect(ends).toEqual([])
  })

  test('by Socket Mode is one line in the log, and the bot serves on', async ({ soil, alice }) => {
    const ends = watchTheProcess()
    const bot = await started(soil)
    const envelope = (type: unknown, payload: unknown) => JSON.stringify({ type, envelope_id: 'e', payload })
    const kinds = ['slash_commands', 'interactive', 'events_api']
    const garbage = [
      'no JSON',
      'null',
      '7',
      '{}',
      '{"type":"slack_event"}',
      '{"type":"ws_message"}',
      '{"type":"interactive"}',
      ...kinds.flatMap((kind) => PAYLOADS.map((payload) => envelope(kind, payload))),
    ]
    for (const [index, text] of garbage.entries()) {
      const before = soil.log.length
      soil.slack.sendsGarbage(text.replace('"e"', `"e${index}"`))
      await soil.logged(/an event was left out/, before)
      expect(soil.log.length - before, text).toBe(1)
    }
    await alice.types('/imagine a red apple')
    await soil.slack.nextMessage()
    await bot.stop()
    expect(ends).toEqual([])
  })
})

describe('a signature', () => {
  test('from the future is turned away', async ({ soil, alice }) => {
    const { bot, delivery } = await served(soil)
    const now = Math.floor(Date.now() / 1000)
    const event = alice.command('/imagine a red apple')
    for (const time of [now + 3600, now + 400]) expect((await delivery.send(event, { time })).status).toBe(401)
    expect((await delivery.send(event, { time: now + 60 })).status).toBe(200)
    await soil.slack.nextMessage()
    await bot.stop()
  })

  test('that comes again draws nothing again, whatever its headers say', async ({ soil, alice }) => {
    const { bot, delivery } = await served(soil)
    const event = alice.command('/imagine a red apple')
    expect((await delivery.send(event)).status).toBe(200)
    expect((await delivery.send(event)).status).toBe(200)
    expect((await delivery.send(event, { headers: { 'x-slack-retry-num': '1' } })).status).toBe(200)
    await alice.types('/imagine a pear')
    await soil.slack.nextMessage()
    expect((await soil.slack.nextMessage()).shown).toContain('a pear')
    await bot.stop()
  })
})
