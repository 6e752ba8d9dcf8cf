/** What the field offers while somebody types, for the options that every surface shares. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { complete } from '../../src/bot/playground/page/completion.ts'
import { parseInline } from '../../src/commands/inline.ts'
import { imagineOptions } from '../../src/commands/options.ts'
import { folderOf, model } from '../fakes/engine.ts'

const options = imagineOptions(model, 128)
const jobs = [{ job: '0123456789abcdef', prompt: 'a red apple' }]
/** `|` is the caret. */
const at = (text: string) => complete(text.replace('|', ''), text.indexOf('|'), options, jobs)
const labels = (text: string) => at(text)?.choices.map(({ label }) => label)

/** The line after the first choice is taken. */
function taken(text: string): string {
  const { from, to, choices } = at(text)!
  const line = text.replace('|', '')
  return line.slice(0, from) + choices[0]!.insert + line.slice(to)
}

describe('completion', () => {
  it('offers the commands', () => {
    expect(labels('/|')).toEqual(['/imagine', '/show', '/help'])
    expect(labels('/s|')).toEqual(['/show'])
    expect(taken('/im|')).toBe('/imagine ')
  })

  it('offers the options, each once, by all their names, with and without the command', () => {
    expect(labels('/imagine a cat --|')).toHaveLength(options.length - 1)
    expect(labels('a cat --s|')).toEqual(['--seed', '--steps', '--size'])
    expect(labels('a cat --seed 7 --s|')).toEqual(['--steps', '--size'])
    expect(labels('a cat --n|')).toEqual(['--negative', '--count'])
    expect(labels('a cat —ar|')).toEqual(['--aspect'])
    expect(labels('a cat --|seed 7')).not.toContain('--seed')
    expect(taken('a cat --gu|')).toBe('a cat --guidance ')
    expect(taken('a cat --clip|')).toBe('a cat --clip-skip ')
    expect(taken('a cat --clip-s|')).toBe('a cat --clip-skip ')
  })

  it('says range and default', () => {
    expect(at('a cat --steps|')!.choices[0]).toMatchObject({ note: '1 to 100 · default 20' })
    expect(at('a cat --steps |')!.title).toBe('steps: More steps take longer and refine more (1 to 100 · left out: 20)')
  })

  it('offers values', () => {
    expect(labels('a cat --aspect 16|')).toEqual(['16:9'])
    expect(labels('a cat --ar=|')).toContain('3:2')
    expect(labels('a cat --count |')).toEqual(['1', '2', '3', '4'])
    expect(labels('a cat --size |')).toEqual(['64x64', '96x64', '64x96', '96x96', '128x128'])
    expect(taken('a cat --aspect 9|')).toBe('a cat --aspect 9:16 ')
    expect(labels('/show 01|')).toEqual(['0123456789abcdef'])
  })

  it('offers models and LoRAs by any part of their names, spaces and all', () => {
    const many = Array.from({ length: 60 }, (_, index) => `Model ${index}`)
    const named = imagineOptions(model, 128, undefined, folderOf(['Dream Shaper [8]', ...many], ['ink', 'Pixel Art']))
    const offered = (line: string) => complete(line, line.length, named, [])
    const chosen = (line: string) => {
      const { from, to, choices } = offered(line)!
      return line.slice(0, from) + choices[0]!.insert + line.slice(to)
    }
    expect(offered('a cat --model ')!.choices).toHaveLength(25)
    for (const typed of ['SHAPER', 'dream sh', '"dream sh']) {
      const line = chosen(`a cat --model ${typed}`)
      expect(line).toBe('a cat --model "Dream Shaper [8]" ')
      expect(parseInline(`${line}--seed 7`, named)).toMatchObject({ model: 'Dream Shaper [8]', seed: '7' })
      expect(complete(line, line.length, named, [])).toBeUndefined()
    }
    expect(parseInline(chosen('a cat --lora ink:0.8, art'), named).lora).toBe('ink:0.8, Pixel Art')
    expect(offered('a cat --model nobody')).toBeUndefined()
    expect(offered('a cat --model tiny --s')!.choices.map(({ label }) => label)).toContain('--seed')
  })

  it('keeps silent where the line is complete, so that Enter sends it', () => {
    const lines = ['', 'a cat', 'a cat --seed 7', 'a cat --no leaves and', 'a well-known cat', '/show x y', '/help']
    for (const line of [
      ...lines,
      '/other',
      'a cat --count 4',
      'a cat --aspect 16:9',
      'a cat --other',
      'a cat --transparent',
      'a cat --transparent ',
    ]) {
      expect(at(`${line}|`), line).toBeUndefined()
    }
  })

  it('warns of a value that nobody takes', () => {
    expect(at('a cat --transparent and|')!.title).toContain('true or false')
    expect(taken('a cat --tr|')).toBe('a cat --transparent ')
    expect(at('a cat --steps 500|')!.title).toContain('1 to 100')
    expect(at('a cat --steps 50|')).toBeUndefined()
    expect(at('a cat --clip-skip 13|')!.title).toContain('1 to 12')
    expect(at('a cat --clip-skip 2|')).toBeUndefined()
  })

  it('never offers what the server would not take, whatever stands before', () => {
    const word = fc.stringMatching(/^[a-z]{0,8}$/)
    fc.assert(
      fc.property(fc.array(word), fc.constantFrom('--', '—'), word, (words, dashes, flag) => {
        const line = `cat ${words.join(' ')} ${dashes}${flag}`
        for (const { insert } of complete(line, line.length, options, jobs)?.choices ?? []) {
          const { from } = complete(line, line.length, options, jobs)!
          expect(parseInline(`${line.slice(0, from)}${insert}1`, options)).toHaveProperty('prompt')
        }
      }),
    )
  })

  it('stands any line', () => {
    const line = fc.string({ unit: fc.constantFrom('-', '—', ' ', '/', '=', 'a', 's', 'seed', 'imagine', '\n', '🌱') })
    fc.assert(
      fc.property(line, fc.nat(40), (text, caret) => {
        const completion = complete(text, Math.min(caret, text.length), options, jobs)
        if (completion) expect(completion.from).toBeLessThanOrEqual(completion.to)
      }),
    )
  })
})
