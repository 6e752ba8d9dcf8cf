import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createBot, startBot } from './bot.ts'

/** What would end the program: a rejection or an exception that nobody handles. */
function watchTheProcess(): unknown[] {
  const ends: unknown[] = []
  const note = (error: unknown) => void ends.push(error)
  process.on('unhandledRejection', note).on('uncaughtException', note)
  onTestFinished(() => void process.off('unhandledRejection', note).off('uncaughtException', note))
  return ends
}

const DISPATCHES = [
  { t: 'INTERACTION_CREATE' },
  { t: 'INTERACTION_CREATE', d: null },
  { t: 'INTERACTION_CREATE', d: {} },
  { t: 'INTERACTION_CREATE', d: { id: '1', token: 't', type: 2 } },
  { t: 'INTERACTION_CREATE', d: { id: '2', token: 't', type: 2, data: { type: 1 } } },
  { t: 'INTERACTION_CREATE', d: { id: '3', token: 't', type: 2, data: { type: 1, name: 'imagine', options: 7 } } },
  { t: 'INTERACTION_CREATE', d: { id: '4', token: 't', type: 3, data: {} } },
  { t: 'INTERACTION_CREATE', d: { id: '5', token: 't', type: 3, data: { component_type: 2 } } },
  { t: 'INTERACTION_CREATE', d: { id: '6', token: 't', type: 3 } },
  { t: 'INTERACTION_CREATE', d: { id: '7', token: 't', type: 4, data: {} } },
  { t: 'INTERACTION_CREATE', d: { id: 8, token: {}, type: 'x' } },
  { t: 'INTERACTION_CREATE', d: [] },
  { t: 'INTERACTION_CREATE', d: 'text' },
  { t: 'GUILD_CREATE', d: null },
  { t: 'GUILD_DELETE' },
  { t: 'error', d: 'x' },
  { t: '__proto__', d: {} },
  { t: 7 },
  {},
].map((dispatch) => JSON.stringify({ op: 0, s: 3, ...dispatch }))
const FRAMES = [
  ...DISPATCHES,
  'null',
  '[]',
  '7',
  '"x"',
  '{}',
  '{"op":"x"}',
  '{"op":99}',
  '{"op":10}',
  '{"op":10,"d":{"heartbeat_interval":"soon"}}',
  '{"op":10,"d":{"heartbeat_interval":41250}}',
  '{"op":11}',
  '{"op":1}',
  'no JSON',
  Buffer.from([0, 1, 2, 255]),
]

// The library waits for seconds between two attempts to sign in.
describe('a malformed frame', { timeout: 90_000 }, () => {
  it('is one line in the log at most, and the bot serves on', async () => {
    const ends = watchTheProcess()
    const { discord, engine, log } = await startBot()
    engine.free = true
    const alice = discord.member('alice')
    for (const [index, frame] of FRAMES.entries()) {
      const before = log.length
      discord.sendFrame(frame)
      await (await alice.types('/imagine', { prompt: `apple ${index}` })).until(/Imagine · /)
      expect(log.length - before, String(frame)).toBeLessThanOrEqual(1)
    }
    expect(ends).toEqual([])
    expect(log.some((line) => line.includes('a frame was left out'))).toBe(true)
  })

  it('does no harm, whatever it is', async () => {
    const ends = watchTheProcess()
    const { discord, engine } = await startBot()
    engine.free = true
    const opcode = fc.constantFrom(0, 1, 10, 11, 12, 'x', null)
    const event = fc.constantFrom('INTERACTION_CREATE', 'GUILD_CREATE', 'RESUMED', 'READY', null)
    const frames = fc.record({ op: opcode, t: event, s: fc.oneof(fc.nat(9), fc.jsonValue()), d: fc.jsonValue() })
    for (const frame of fc.sample(frames, 100)) {
      // A READY without form makes the connection begin anew.
      if (frame.t !== 'READY' || frame.op !== 0) discord.sendFrame(JSON.stringify(frame))
    }
    await (await discord.member('alice').types('/imagine', { prompt: 'an apple' })).until(/Imagine · /)
    expect(ends).toEqual([])
  })

  it('of the kind that a session begins with makes the connection begin anew, and not deaf', async () => {
    const ends = watchTheProcess()
    const bot = await createBot()
    bot.discord.spoilReady({})
    await bot.platform.start()
    expect(bot.log[0]).toMatch(/a frame was left out: a READY without what it must say/)
    await bot.discord.member('alice').types('/imagine', { prompt: 'one' })

    bot.discord.sendFrame('{"op":9}')
    bot.discord.sendFrame('{"op":0,"s":1,"t":"READY"}')
    bot.discord.sendFrame('{"op":9,"d":false}')
    await expect.poll(() => bot.log.at(-1), { timeout: 60_000 }).toBe('Discord: the connection is back.')
    await bot.discord.member('bob').types('/imagine', { prompt: 'two' })
    expect(ends).toEqual([])
  })
})

describe('shards', { timeout: 90_000 }, () => {
  it('are as many as Discord recommends, in one process', async () => {
    const bot = await createBot()
    bot.discord.requireShards(3)
    await bot.platform.start()
    expect(bot.discord.shards).toEqual(['0 of 3', '1 of 3', '2 of 3'])
    await bot.discord.member('alice').types('/imagine', { prompt: 'an apple' })
  })

  it('become more when the bot has grown out of them', async () => {
    const { discord, log } = await startBot()
    discord.requireShards(2)
    discord.dropConnections(4011)
    await expect.poll(() => discord.shards, { timeout: 60_000 }).toEqual(['0 of 2', '1 of 2'])
    expect(log.join('\n')).toContain('1 connections are too few for its servers; opening 2')
    await discord.member('alice').types('/imagine', { prompt: 'an apple' })
  })
})

describe('the platform ends, and says why, when', () => {
  it.each([
    [4004, /^Discord refused DISCORD_TOKEN/],
    [4011, /^Discord closed the connection for good \(4011 ShardingRequired\)/],
    [4014, /^Discord closed the connection for good \(4014 DisallowedIntents\)/],
  ])('the gateway closes with %i', async (code, sentence) => {
    const { discord, platform } = await startBot()
    discord.dropConnections(code)
    expect((await platform.failed!).message).toMatch(sentence)
  })

  it('its token is refused under way', async () => {
    const { discord, platform, engine } = await startBot()
    await discord.member('alice').types('/imagine', { prompt: 'an apple' })
    discord.revokeToken()
    ;(await engine.call(1)).finish()
    expect((await platform.failed!).message).toMatch(/^Discord refused DISCORD_TOKEN/)
  })
})
