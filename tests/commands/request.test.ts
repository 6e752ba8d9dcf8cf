import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatActionId, parseActionId } from '../../src/commands/actions.ts'
import { Commands } from '../../src/commands/commands.ts'
import { parseInline } from '../../src/commands/inline.ts'
import { imagineOptions, type OptionValues } from '../../src/commands/options.ts'
import { parseRequest } from '../../src/commands/request.ts'
import { UserError } from '../../src/job/errors.ts'
import type { JobQueue } from '../../src/queue/queue.ts'
import { model } from '../fakes/engine.ts'

const options = imagineOptions(model, 128)
const parse = (values: OptionValues) => parseRequest(values, model, 128)
const typed = (line: string) => parse(parseInline(line, options))

/** The sentence that a person gets. */
function refusal(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof UserError) return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

describe('parseRequest', () => {
  it("fills in the model's defaults and a seed of its own", () => {
    const request = parse({ prompt: 'a red apple' })
    expect(request).toEqual({
      prompt: 'a red apple',
      negativePrompt: '',
      seed: request.seed,
      variations: [],
      numInferenceSteps: 20,
      guidanceScale: 4,
      width: 64,
      height: 64,
      numImagesPerPrompt: 1,
      upscale: 1,
      transparent: false,
    })
    expect(parse({ prompt: 'a red apple' }).seed).not.toBe(request.seed)
  })

  it.each([
    [{ seed: -1 }, 'seed is “-1”; it must be a whole number from 0 to 4294967295.'],
    [{ seed: '1e3' }, 'seed is “1e3”; it must be a whole number from 0 to 4294967295.'],
    [{ seed: 2 ** 32 }, 'seed is “4294967296”; it must be a whole number from 0 to 4294967295.'],
    [{ steps: 0 }, 'steps is “0”; it must be a whole number from 1 to 100.'],
    [{ steps: 7.5 }, 'steps is “7.5”; it must be a whole number from 1 to 100.'],
    [{ guidance: 'NaN' }, 'guidance is “NaN”; it must be a number from 0 to 30.'],
    [{ count: 5 }, 'count is “5”; it must be a whole number from 1 to 4.'],
    [{ size: '60x64' }, 'size is “60x64”; both sides must be multiples of 8 from 8 to 128, such as 64x64.'],
    [{ size: '4096' }, 'size is “4096”; both sides must be multiples of 8 from 8 to 128, such as 64x64.'],
    [{ aspect: '9:0' }, 'aspect is “9:0”; it must be a ratio from 1:4 to 4:1, such as 16:9.'],
    [{ 'clip-skip': 13 }, 'clip-skip is “13”; it must be a whole number from 1 to 12.'],
    [{ 'clip-skip': 1.5 }, 'clip-skip is “1.5”; it must be a whole number from 1 to 12.'],
    [{ transparent: 'maybe' }, 'transparent is “maybe”; it must be true or false.'],
    [{ aspect: 'wide' }, 'aspect is “wide”; it must be a ratio from 1:4 to 4:1, such as 16:9.'],
  ])('refuses %o in one sentence', (values, sentence) => {
    expect(refusal(() => parse({ prompt: 'x', ...values }))).toBe(sentence)
  })

  it('refuses an empty prompt, also one of control and direction characters alone', () => {
    for (const prompt of ['', '  ', '\u0000\u0007\n', '\u202e\u2066']) {
      expect(refusal(() => parse({ prompt }))).toMatch(/^prompt is empty/)
    }
  })

  it('refuses a prompt of 10,000 characters and says how many are allowed', () => {
    expect(refusal(() => parse({ prompt: 'x'.repeat(10_000) }))).toBe(
      'prompt is 10000 characters long; 2000 is the most.',
    )
  })

  it('keeps right-to-left writing and drops what only turns the reading direction', () => {
    expect(parse({ prompt: 'שלום \u202eworld\u202c' }).prompt).toBe('שלום world')
  })

  it('reads sizes and aspects', () => {
    expect(parse({ prompt: 'x', size: '64x128' })).toMatchObject({ width: 64, height: 128 })
    expect(parse({ prompt: 'x', size: ' 96 × 64 ' })).toMatchObject({ width: 96, height: 64 })
    expect(parse({ prompt: 'x', size: 72 })).toMatchObject({ width: 72, height: 72 })
    expect(parse({ prompt: 'x', aspect: '16:9' })).toMatchObject({ width: 88, height: 48 })
    expect(parse({ prompt: 'x', aspect: '1:4', size: '128' })).toMatchObject({ width: 64, height: 128 })
  })

  it('gives a complete request or one sentence, whatever is typed', () => {
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.double())
    const values = fc.record(
      Object.fromEntries(options.map(({ name }) => [name, value])) as Record<string, typeof value>,
      { requiredKeys: ['prompt'] },
    )
    fc.assert(
      fc.property(values, (anything) => {
        try {
          const request = parse(anything)
          expect(request.prompt).not.toBe('')
          expect(request.prompt).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
          expect(request.width % model.sizeMultiple).toBe(0)
          expect(Math.max(request.width, request.height)).toBeLessThanOrEqual(128)
          expect(request.numInferenceSteps).toBeGreaterThanOrEqual(1)
          expect(request.seed).toSatisfy((seed: number) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)
        } catch (error) {
          expect(error).toBeInstanceOf(UserError)
          expect((error as Error).message.length).toBeLessThan(200)
        }
      }),
    )
  })
})

describe('parseInline', () => {
  it('reads flags, their short names, quotes and equals signs', () => {
    expect(parseInline('a red apple --seed 7 --ar 16:9 --no leaves, worms', options)).toEqual({
      prompt: 'a red apple',
      seed: '7',
      aspect: '16:9',
      negative: 'leaves, worms',
    })
    expect(parseInline('a cat --no "a dog" --seed=3', options)).toEqual({
      prompt: 'a cat',
      negative: 'a dog',
      seed: '3',
    })
    expect(parseInline('a cat --no "--seed 3" --seed 4', options)).toEqual({
      prompt: 'a cat',
      negative: '--seed 3',
      seed: '4',
    })
    expect(parseInline('a cat --no "a" and "b"', options)).toEqual({ prompt: 'a cat', negative: '"a" and "b"' })
    expect(parseInline('a cat —seed 3', options)).toEqual({ prompt: 'a cat', seed: '3' })
  })

  it('leaves dashes alone that are no flags', () => {
    expect(parseInline('a well-lit -- and 1--2 – room', options)).toEqual({ prompt: 'a well-lit -- and 1--2 – room' })
  })

  it('says which options there are when a flag is unknown', () => {
    expect(refusal(() => typed('a cat --stlye noir'))).toBe(
      '--stlye is not an option; use --negative, --seed, --steps, --guidance, --size, --aspect, --count, --transparent or --clip-skip.',
    )
    expect(refusal(() => typed('a cat --constructor x'))).toMatch(/^--constructor is not an option/)
  })

  it('takes a flag of a boolean for yes, at any place behind the prompt', () => {
    for (const line of ['a cat --transparent', 'a cat —transparent --seed 3', 'a cat --seed 3 --TRANSPARENT true'])
      expect(typed(line), line).toMatchObject({ prompt: 'a cat', transparent: true })
    for (const line of ['a cat', 'a transparent cat --seed 3', 'a cat --transparent=false'])
      expect(typed(line), line).toMatchObject({ transparent: false })
    expect(refusal(() => typed('a cat --transparent in a hat'))).toBe(
      'transparent is “in a hat”; it must be true or false.',
    )
    expect(refusal(() => typed('a cat --transparent --transparent'))).toMatch(/stands twice/)
  })

  it('counts clip skip from the last layer, and keeps only what is not the model’s own', () => {
    expect(typed('a cat --clip-skip 2')).toMatchObject({ prompt: 'a cat', clipSkip: 2 })
    for (const line of ['a cat', 'a cat --clip-skip 1']) expect(typed(line)).not.toHaveProperty('clipSkip')
    const sdxl = { ...model, clipSkip: 2, maxClipSkip: 31 }
    expect(parseRequest({ prompt: 'a cat', 'clip-skip': 2 }, sdxl, 128)).not.toHaveProperty('clipSkip')
    expect(parseRequest({ prompt: 'a cat', 'clip-skip': 3 }, sdxl, 128)).toMatchObject({ clipSkip: 3 })
    expect(refusal(() => parseRequest({ prompt: 'a cat', 'clip-skip': 1 }, sdxl, 128))).toBe(
      'clip-skip is “1”; it must be a whole number from 2 to 12.',
    )
  })

  it('offers no clip skip where the model shows one layer alone, and says so to whoever asks', () => {
    const simple = { ...model, maxClipSkip: 1 }
    const commands = new Commands(
      {} as JobQueue,
      { model: simple, catalog: { models: [simple], loras: [], embeddings: [] } },
      { variationStrength: 0.25, maxSize: 128 },
    )
    expect(commands.options.map(({ name }) => name)).not.toContain('clip-skip')
    expect(refusal(() => commands.parse('a cat --clip 2'))).toMatch(/use .*--count or --transparent\.$/)
    expect(refusal(() => commands.check(commands.parse('a cat --clip-skip 2')))).toBe(
      'clip-skip is “2”; it must be 1, the only value that this model takes.',
    )
  })

  it('refuses a flag twice or without a value', () => {
    expect(refusal(() => typed('a cat --seed 1 --seed 2'))).toBe('--seed stands twice; say each option once.')
    expect(refusal(() => typed('a cat --seed'))).toMatch(/^--seed has no value/)
  })

  it('reads back every request that it is given as flags', () => {
    const word = fc.stringMatching(/^[a-z]{1,8}( [a-z]{1,8}){0,4}$/)
    fc.assert(
      fc.property(
        word,
        fc.nat(2 ** 32 - 1),
        fc.integer({ min: 1, max: 100 }),
        word,
        fc.boolean(),
        (prompt, seed, steps, negative, transparent) => {
          const flag = transparent ? ' --transparent' : ''
          const request = typed(`${prompt} --no ${negative}${flag} --steps ${steps} --seed ${seed}`)
          expect(request).toMatchObject({
            prompt,
            seed,
            numInferenceSteps: steps,
            negativePrompt: negative,
            transparent,
          })
        },
      ),
    )
  })

  it('never throws anything but a sentence', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (line) => {
        try {
          parseInline(line, options)
        } catch (error) {
          expect(error).toBeInstanceOf(UserError)
        }
      }),
    )
  })
})

describe('action ids', () => {
  it('come back as they were written, and nothing else is taken for one', () => {
    const id = { action: 'vary', index: 2, job: '0123456789abcdef' } as const
    expect(parseActionId(formatActionId(id))).toEqual(id)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const parsed = parseActionId(text)
        expect(parsed === undefined || formatActionId(parsed) === text).toBe(true)
      }),
    )
    expect(parseActionId('delete:0:../../etc/passwd')).toBeUndefined()
  })
})
