import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearestNames } from '../../src/engine/nearest-names.ts'
import { networkNamed, parseExtraNetworks } from '../../src/engine/text/extra-networks.ts'

const both = (name: string, weight: number) => ({ name, textEncoderWeight: weight, unetWeight: weight })

describe('<lora:name:weight> is read as AUTOMATIC1111 reads it', () => {
  it.each([
    ['a cat <lora:pixel>', 'a cat ', [both('pixel', 1)]],
    ['a cat <lora:pixel:0.8>, red', 'a cat , red', [both('pixel', 0.8)]],
    ['<lora:a:-1><lyco:b:.5>x', 'x', [both('a', -1), both('b', 0.5)]],
    ['<lora:a> <lora:a:2.>', ' ', [both('a', 1), both('a', 2)]],
    // The text encoders' weight stands first.
    ['<lora:a:0.8:0.5>', '', [{ name: 'a', textEncoderWeight: 0.8, unetWeight: 0.5 }]],
    ['<lora:a:te=0:unet=1.5>', '', [{ name: 'a', textEncoderWeight: 0, unetWeight: 1.5 }]],
    ['<lora:a:0.7:unet=0>', '', [{ name: 'a', textEncoderWeight: 0.7, unetWeight: 0 }]],
    ['<lora:a:te=0.3>', '', [both('a', 0.3)]],
    ['<lora:Add Detail v1.2 (XL):1e-1>', '', [both('Add Detail v1.2 (XL)', 0.1)]],
    ['<lora:folder/name: 1 >', '', [both('folder/name', 1)]],
  ])('%s', (prompt, rest, loras) => {
    expect(parseExtraNetworks(prompt)).toEqual({ prompt: rest, loras })
  })

  it.each([
    'a < b > c',
    '<lora>',
    '<lora:>',
    '<LORA:a:1>',
    '<:smile:123> <t:123:R> <a:wave:4>',
    '<lora:a',
    'lora:a:1>',
  ])('%s stays as it is', (prompt) => {
    expect(parseExtraNetworks(prompt)).toEqual({ prompt, loras: [] })
  })

  it.each([
    ['<lora:a:strong>', '"strong" is no weight'],
    ['<lora:a:inf>', '"inf" is no weight'],
    ['<lora:a:nan>', '"nan" is no weight'],
    ['<lora:a:1e999>', '"1e999" is no weight'],
    ['<lora:a:>', '"" is no weight'],
    ['<lora:a:1:1:8>', '"8" is not understood'],
    ['<lora:a:1:dyn=8>', '"dyn" is not understood'],
    ['<lora: :1>', 'names no LoRA'],
    ['<hypernet:a:1>', 'hypernetworks are not supported'],
  ])('%s is said', (prompt, why) => {
    expect(() => parseExtraNetworks(prompt)).toThrow(why)
  })

  const name = fc.stringMatching(/^[A-Za-z0-9 _.()/-]{1,30}$/).filter((one) => one.trim() !== '')
  const weight = fc.double({ min: -4, max: 4, noNaN: true }).map((one) => Number(String(one)))
  const text = fc.string().filter((one) => !/[<>]/.test(one))

  it('whatever stands between them is left', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ text, name, te: weight, unet: weight })), text, (parts, end) => {
        const prompt = parts.map((one) => `${one.text}<lora:${one.name}:${one.te}:${one.unet}>`).join('') + end
        expect(parseExtraNetworks(prompt)).toEqual({
          prompt: parts.map((one) => one.text).join('') + end,
          loras: parts.map((one) => ({
            name: one.name,
            textEncoderWeight: Number(one.te),
            unetWeight: Number(one.unet),
          })),
        })
      }),
    )
  })

  it('any text is read or refused in a sentence, and what is left names nothing more', () => {
    const pieces = fc.constantFrom(
      '<',
      '>',
      ':',
      '=',
      'lora',
      'lyco',
      'te',
      'unet',
      '0.5',
      '-',
      ' ',
      'name',
      '<lora:',
      'é',
    )
    fc.assert(
      fc.property(
        fc.array(pieces).map((all) => all.join('')),
        (prompt) => {
          try {
            const { prompt: rest, loras } = parseExtraNetworks(prompt)
            expect(rest.length <= prompt.length).toBe(true)
            for (const lora of loras) expect(Number.isFinite(lora.unetWeight + lora.textEncoderWeight)).toBe(true)
          } catch (error) {
            expect(error).toMatchObject({ name: 'EngineError', code: 'argument' })
          }
        },
      ),
    )
  })
})

describe('names that are not there', () => {
  const files = ['add_detail', 'pixel-art-xl', 'PixelArt', 'more_details', 'lcm'].map((name) => ({ name }))

  it('a name is its file’s, in its case', () => {
    expect(networkNamed('PixelArt', files, 'LoRA')).toBe(files[2])
    expect(() => networkNamed('pixelart', files, 'LoRA')).toThrow(
      'There is no LoRA "pixelart"; did you mean "PixelArt" or "pixel-art-xl"?',
    )
  })

  it('what is like none is offered none', () => {
    expect(() => networkNamed('watercolour', files, 'LoRA')).toThrow('and none that is like it')
  })

  it('the nearest come first', () => {
    expect(
      nearestNames(
        'add_details',
        files.map(({ name }) => name),
      ),
    ).toEqual(['add_detail', 'more_details'].slice(0, 1))
    expect(
      nearestNames(
        'details',
        files.map(({ name }) => name),
      ),
    ).toEqual(['more_details'])
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.array(fc.string({ minLength: 1 })), (name, others) => {
        expect(nearestNames(name, [...others, name], 100)).toContain(name)
      }),
    )
  })
})
