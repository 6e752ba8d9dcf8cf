import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { CLIPTokenizer } from '../../src/engine/text/clip-tokenizer.ts'
import { parsePromptAttention } from '../../src/engine/text/prompt-attention.ts'
import { promptChunks } from '../../src/engine/text/prompt-chunks.ts'
import { compare, FIXTURES, ON_CPU, tinyPipeline } from './tiny-pipeline.ts'

describe('parsePromptAttention', () => {
  /** The examples that AUTOMATIC1111's own documentation gives, and its way with BREAK. */
  const examples: [prompt: string, pieces: (readonly [string, number] | 'BREAK')[]][] = [
    ['normal text', [['normal text', 1]]],
    [
      'an (important) word',
      [
        ['an ', 1],
        ['important', 1.1],
        [' word', 1],
      ],
    ],
    ['(unbalanced', [['unbalanced', 1.1]]],
    ['\\(literal\\]', [['(literal]', 1]]],
    ['(unnecessary)(parens)', [['unnecessaryparens', 1.1]]],
    [
      'a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).',
      [
        ['a ', 1],
        ['house', 1.573],
        [' ', 1.1],
        ['on', 1],
        [' a ', 1.1],
        ['hill', 0.55],
        [', sun, ', 1.1],
        ['sky', 1.4641],
        ['.', 1.1],
      ],
    ],
    ['', [['', 1]]],
    ['a cat BREAK a dog', [['a cat', 1], 'BREAK', ['a dog', 1]]],
    [
      'back\\slash (a)\\(b)',
      [
        ['backslash ', 1],
        ['a', 1.1],
        ['(b)', 1],
      ],
    ],
    ['12:30 ) ] and BREAKFAST', [['12:30 ) ] and BREAKFAST', 1]]],
    ['(red:1.2.3)', [['red:1.2.3', 1.1]]],
  ]

  it.each(examples)('%s', (prompt, pieces) => {
    const parsed = parsePromptAttention(prompt)
    expect(parsed.map((piece) => (piece === 'BREAK' ? piece : piece.text))).toEqual(
      pieces.map((piece) => (piece === 'BREAK' ? piece : piece[0])),
    )
    parsed.forEach((piece, i) => {
      if (piece !== 'BREAK') expect(piece.weight).toBeCloseTo((pieces[i] as [string, number])[1], 10)
    })
  })

  it('keeps every letter of whatever is typed, and every weight finite', () => {
    const typed = fc.array(fc.constantFrom('(', ')', '[', ']', ':', '\\', '1.5', ' ', 'red', '-', '.'), {
      maxLength: 30,
    })
    fc.assert(
      fc.property(typed, (parts) => {
        const pieces = parsePromptAttention(parts.join(''))
        const text = pieces.map((piece) => (piece === 'BREAK' ? '' : piece.text)).join('')
        expect(text.split('red')).toHaveLength(parts.filter((part) => part === 'red').length + 1)
        for (const piece of pieces) expect(piece !== 'BREAK' && Number.isFinite(piece.weight)).toBe(true)
      }),
    )
  })
})

describe('promptChunks', () => {
  let tokenizer: CLIPTokenizer
  beforeAll(async () => {
    tokenizer = await CLIPTokenizer.fromFolder(join(FIXTURES, 'clip-tokenizer'))
  })
  const [begin, end, cat, comma] = [49406, 49407, 2368, 267]
  const inner = (ids: readonly number[]) => ids.slice(1, ids.indexOf(end, 1))

  it('cuts after 75 tokens', () => {
    const chunks = promptChunks(tokenizer, Array(80).fill('cat').join(' '))
    expect(chunks.map(({ ids }) => inner(ids).length)).toEqual([75, 5])
    expect(chunks.every(({ ids, weights }) => ids.length === 77 && weights.length === 77 && ids[0] === begin)).toBe(
      true,
    )
  })

  it('cuts at a comma at most twenty tokens back', () => {
    const words = (n: number) => Array(n).fill('cat').join(' ')
    expect(promptChunks(tokenizer, `${words(60)}, ${words(20)}`).map(({ ids }) => inner(ids))).toEqual([
      [...Array(60).fill(cat), comma],
      Array(20).fill(cat),
    ])
    expect(promptChunks(tokenizer, `${words(50)}, ${words(30)}`).map(({ ids }) => inner(ids).length)).toEqual([75, 6])
  })

  it('begins anew at BREAK and weighs each token', () => {
    const [first, second] = promptChunks(tokenizer, '(a cat:1.5) BREAK [cat]')
    expect(first!.weights.slice(0, 4)).toEqual([1, 1.5, 1.5, 1])
    expect(inner(second!.ids)).toEqual([cat])
    expect(second!.weights[1]).toBeCloseTo(1 / 1.1)
  })
})

describe('prompts in a pipeline', () => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
  })
  const latents = async (args: Partial<Parameters<typeof pipe.generate>[0]>) => {
    const all = {
      prompt: 'a cat',
      numInferenceSteps: 2,
      generator: new Generator(1),
      ...args,
      outputType: 'latent' as const,
    }
    return (await pipe.generate(all)).images
  }

  it('takes brackets as text unless weights are asked for', async () => {
    const plain = await latents({ prompt: 'a (red:1.9) cat' })
    const weighted = await latents({ prompt: 'a (red:1.9) cat', promptWeighting: true })
    expect(compare(weighted, plain).difference).toBeGreaterThan(1e-4)
    expect(await latents({ prompt: 'a red cat', promptWeighting: true })).toEqual(
      await latents({ prompt: 'a red cat' }),
    )
  })

  it('keeps the mean of what it weighs', async () => {
    const { promptEncoder } = pipe.components
    const mean = ({ data }: { data: Float32Array }) => data.reduce((sum, value) => sum + value, 0) / data.length
    const { promptEmbeds: plain } = await promptEncoder.encode('a red cat')
    const { promptEmbeds: weighted } = await promptEncoder.encode('a (red:1.4) cat', { promptWeighting: true })
    expect(mean(weighted)).toBeCloseTo(mean(plain), 5)
    expect(compare(weighted, plain).difference).toBeGreaterThan(1e-3)
  })

  it('lets a long prompt meet a short negative one: a context seen twice counts as once', async () => {
    const once = await latents({ promptWeighting: true })
    const twice = await latents({ prompt: 'a cat BREAK a cat', promptWeighting: true })
    expect(compare(twice, once).difference).toBeLessThan(1e-4 * compare(twice, once).magnitude)
    const { promptEmbeds } = await pipe.components.promptEncoder.encode('a cat BREAK a dog', { promptWeighting: true })
    expect(promptEmbeds.dims).toEqual([1, 154, 16])
  })

  it('encodes a text once: a re-roll never runs the text encoder', async () => {
    const { model } = pipe.components.promptEncoder.parts[0]!.textEncoder
    const run = vi.spyOn(model, 'run')
    await latents({ prompt: 'a dog', negativePrompt: 'red' })
    expect(run).toHaveBeenCalledTimes(2)
    await latents({ prompt: 'a dog', negativePrompt: 'red', generator: new Generator(2) })
    await latents({ prompt: 'red', negativePrompt: 'a dog' })
    expect(run).toHaveBeenCalledTimes(2)
    await pipe.release()
    await latents({ prompt: 'a dog', negativePrompt: 'red' })
    expect(run).toHaveBeenCalledTimes(4)
    run.mockRestore()
  })
})
