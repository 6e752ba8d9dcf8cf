/** Models and LoRAs by name: what is offered while somebody types, and what is said where there is none of that name. */

import { describe, expect, it } from 'vitest'
import { modelNamed, promptWithLoras } from '../../src/commands/networks.ts'
import { completions, imagineOptions } from '../../src/commands/options.ts'
import { folderOf, model } from '../fakes/engine.ts'

const names = ['DreamShaper 8 [pruned]', 'anime/base', 'photo/base', '水彩画', "it's (v1.5)"]
const catalog = folderOf(names, ['ink', 'Pixel Art (v2)', '水墨'])
const options = imagineOptions(model, 128, undefined, catalog)
const offered = (name: string, typed: string) => completions(options.find((option) => option.name === name)!, typed)

describe('models by name', () => {
  it('are offered wherever the letters stand, in any case, those that begin so first', () => {
    expect(offered('model', 'SHAPER')).toEqual(['DreamShaper 8 [pruned]'])
    expect(offered('model', 'base')).toEqual(['anime/base', 'photo/base'])
    expect(offered('model', 'p')).toEqual(['photo/base', 'DreamShaper 8 [pruned]'])
    expect(offered('model', '水')).toEqual(['水彩画'])
    expect(offered('model', '')).toEqual(['tiny', ...names])
  })

  it('are found in any case, and an unknown one is one sentence with the nearest', () => {
    for (const name of names) expect(modelNamed(` ${name.toUpperCase()} `, catalog).name).toBe(name)
    expect(modelNamed(undefined, catalog).name).toBe('tiny')
    expect(() => modelNamed('dreamshapr 8', catalog)).toThrow(
      /^There is no model "dreamshapr 8".*(DreamShaper|none that is like it)/,
    )
    expect(() => modelNamed('base', catalog)).toThrow('did you mean "anime/base" or "photo/base"?')
  })

  it('are no option where there is nothing to choose', () => {
    const none = imagineOptions(model, 128, undefined, folderOf([])).map(({ name }) => name)
    expect(none).not.toContain('model')
    expect(none).not.toContain('lora')
  })
})

describe('LoRAs by name', () => {
  it('are completed one after another', () => {
    expect(offered('lora', 'PIX')).toEqual(['Pixel Art (v2)'])
    expect(offered('lora', 'ink:0.8, art')).toEqual(['ink:0.8, Pixel Art (v2)'])
  })

  it('stand in the prompt by their own names, however they were written', () => {
    expect(promptWithLoras('a cat', 'ink, pixel art (v2):-0.5', catalog)).toBe(
      'a cat <lora:ink:1> <lora:Pixel Art (v2):-0.5>',
    )
    expect(promptWithLoras('a cat <lora:INK> <lora:Ink:0.8> <lyco:INK:1>', undefined, catalog)).toBe(
      'a cat <lora:ink> <lora:ink:0.8> <lyco:ink:1>',
    )
  })

  it('that there are not are one sentence, in the option and in the prompt', () => {
    const sentence = /^There is no LoRA "inc"; did you mean "ink"\?$/
    expect(() => promptWithLoras('a cat', 'inc', catalog)).toThrow(sentence)
    expect(() => promptWithLoras('a cat <lora:inc:1>', undefined, catalog)).toThrow(sentence)
  })
})
