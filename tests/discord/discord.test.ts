import { afterEach, describe, expect, it } from 'vitest'
import { type Bot, startBot } from './bot.ts'

const open: Bot[] = []
async function start(...options: Parameters<typeof startBot>): Promise<Bot> {
  const bot = await startBot(...options)
  open.push(bot)
  return bot
}
afterEach(() => {
  for (const { discord } of open.splice(0)) expect(discord.problems).toEqual([])
})

describe('a member of a guild', () => {
  it('types a sentence and gets pictures with buttons, in one message', async () => {
    const { discord, engine } = await start()
    const alice = discord.member('alice', 'Alice')
    const message = await alice.types('/imagine', { prompt: 'a red apple', seed: 7, count: 4 })
    expect(message.text).toMatch(/^> a red apple\n\*\*Alice\*\* · (Queued|Drawing)/)
    expect(message.buttons).toEqual([['Cancel']])

    const call = await engine.call(1)
    call.step(5, 20, new Uint8Array([1]))
    await message.until(/Drawing · 25 %/)
    expect(message.text).toContain('▰▰▰▰▰▱')
    expect(message.attachments.map(({ name }) => name)).toEqual(['preview.png'])
    call.finish()
    await message.until(/Imagine · /)
    expect(message.text).toContain('seed 7 · steps 20 · guidance 4 · size 64x64 · count 4')
    expect(message.attachments.map(({ description }) => description)).toEqual(
      [1, 2, 3, 4].map((number) => `a red apple (picture ${number} of 4)`),
    )
    expect(message.buttons).toEqual([
      ['🔄', 'V1', 'V2', 'V3', 'V4'],
      ['U1', 'U2', 'U3', 'U4', '🗑'],
    ])
    expect(discord.messages).toEqual([message])
  })
})
