/** A folder of models in Discord: options and their completion within Discord's limits, and models that are gone. */

import { describe, expect, it } from 'vitest'
import { folderOf } from '../fakes/engine.ts'
import { type Bot, createBot, jobIn } from './bot.ts'

async function botWith(...folder: Parameters<typeof folderOf>): Promise<Bot> {
  const bot = await createBot()
  bot.engine.catalog = folderOf(...folder)
  await bot.program.start(bot.platform)
  return bot
}

const LONG = 'x'.repeat(150)
const many = Array.from({ length: 60 }, (_, index) => `Model ${index} [v1]`)

describe('models in Discord', () => {
  it('are offered as people type, 25 at most, in any case, and long names can be typed', async () => {
    const bot = await botWith([...many, LONG], ['ink', 'Pixel Art'])
    const alice = bot.discord.member('alice')
    expect(await alice.completes('/imagine', 'model', '')).toHaveLength(25)
    expect(await alice.completes('/imagine', 'model', 'L 59')).toEqual(['Model 59 [v1]'])
    expect(await alice.completes('/imagine', 'model', 'xxx')).toEqual([])
    expect(await alice.completes('/imagine', 'lora', 'ink:0.8, aRT')).toEqual(['ink:0.8, Pixel Art'])
    const message = await alice.types('/imagine', { prompt: 'a cat', model: LONG, lora: 'pixel art:0.5' })
    const job = await bot.queue.get(jobIn(message))
    expect(job!.request).toMatchObject({ model: LONG, prompt: 'a cat <lora:Pixel Art:0.5>' })
  })

  it('that there are not are one sentence with the nearest', async () => {
    const bot = await botWith(['dream 8'], ['ink'])
    const alice = bot.discord.member('alice')
    await alice.types('/imagine', { prompt: 'a cat', model: 'drem 8' })
    await alice.types('/imagine', { prompt: 'a cat <lora:inc:1>' })
    expect(alice.told).toEqual([
      'There is no model "drem 8"; did you mean "dream 8"?',
      'There is no LoRA "inc"; did you mean "ink"?',
    ])
  })

  it('say so while they are opened; once gone, every button says what to do', async () => {
    const bot = await botWith(['dream 8'])
    const alice = bot.discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'a cat', model: 'dream 8' })
    const call = await bot.engine.call(1)
    call.open('dream 8')
    await message.until(/Opening dream 8…/)
    call.finish()
    await message.until(/Imagine · /)
    bot.engine.catalog = folderOf(['other'])
    for (const label of ['🔄', 'V1', 'U1']) await alice.clicks(message, label)
    const sentence = 'It was drawn with the model dream 8, which is not here any more; use /imagine with another.'
    expect(alice.told).toEqual([sentence, sentence, sentence])
    expect(bot.engine.calls).toHaveLength(1)
  })
})
