import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { type GenerateArguments, Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { AddedTokens } from '../../src/engine/text/added-tokens.ts'
import { CLIPTokenizer } from '../../src/engine/text/clip-tokenizer.ts'
import { promptChunks } from '../../src/engine/text/prompt-chunks.ts'
import { modelNamed, type Tiny, tensorsOf, tinyFile, tinyFolder } from './tiny-checkpoint.ts'
import { FIXTURES, ON_CPU } from './tiny-pipeline.ts'

const LORAS = fileURLToPath(new URL('../fixtures/lora/', import.meta.url))

/** The vectors that the model itself has for some words: with them, the added word means the same. */
function vectorsOf(part: string, ids: readonly number[]): Tiny {
  const { data, shape } = tensorsOf(part).get('text_model.embeddings.token_embedding.weight')!
  const width = shape[1]!
  const rows = ids.map((id) => data.subarray(id * width, (id + 1) * width))
  return { shape: [ids.length, width], data: Float32Array.from(rows.flatMap((row) => [...row])) }
}

const args = (prompt: string) => ({
  prompt,
  height: 32,
  width: 32,
  numInferenceSteps: 1,
  outputType: 'np' as const,
  generator: new Generator(3),
})

describe.each(['sd1', 'sdxl'])('an added word in a prompt of %s', (model) => {
  let pipe: StableDiffusionPipeline
  /** Two words in one file. */
  let file: string
  const draw = async (prompt: string, more: Partial<GenerateArguments<'np'>> = {}) =>
    (await pipe.generate({ ...args(prompt), ...more })).images.data

  beforeAll(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(tinyFolder(model), ON_CPU)
    const { parts } = modelNamed(model)
    const ids = pipe.components.promptEncoder.parts[0]!.tokenizer.tokenize('red fox')
    const vectors = vectorsOf(parts.text_encoder!, ids)
    const tensors = parts.text_encoder_2
      ? { clip_l: vectors, clip_g: vectorsOf(parts.text_encoder_2, ids) }
      : { emb_params: vectors }
    file = tinyFile(new Map(Object.entries(tensors)), undefined, 'My-Style.safetensors')
  })

  it('means what its vectors mean, the pooled token too, and is gone when it is unloaded', async () => {
    const wanted = await draw('a red fox, blue')
    const before = await draw('a My-Style, blue')
    await pipe.loadTextualInversion(file)
    expect(await draw('a red fox, blue')).toEqual(wanted)
    expect(await draw('a My-Style, blue')).toEqual(wanted)
    expect(await draw('a my-style, blue')).not.toEqual(wanted)
    pipe.unloadTextualInversion('My-Style')
    expect(await draw('a My-Style, blue')).toEqual(before)
    expect(await draw('a red fox, blue')).toEqual(wanted)
  })

  it('is found by its tokens where prompts are weighted, as AUTOMATIC1111 finds it', async () => {
    await pipe.loadTextualInversion(file)
    const weighted = { promptWeighting: true }
    const wanted = await draw('(a red fox:1.3) BREAK blue', weighted)
    expect(await draw('(a My-Style:1.3) BREAK blue', weighted)).toEqual(wanted)
    expect(await draw('(a MY - style:1.3) BREAK blue', weighted)).toEqual(wanted)
    expect(await draw('(a My-Styles:1.3) BREAK blue', weighted)).not.toEqual(wanted)
    pipe.unloadTextualInversion()
  })

  it('may be called anything that is no word yet', async () => {
    await pipe.loadTextualInversion(file, { token: '<one>' })
    await pipe.loadTextualInversion([file, file], { token: ['<two>', '$^three'] })
    expect(await draw('<one>')).toEqual(await draw('red fox'))
    expect(await draw('<two>')).toEqual(await draw('red fox'))
    expect(await draw('$^three')).toEqual(await draw('red fox'))
    for (const token of ['<one>', '<one>_1', 'red', 'red</w>', '<|endoftext|>'])
      await expect(pipe.loadTextualInversion(file, { token })).rejects.toThrow(`has a token "${token}" already`)
    await expect(pipe.loadTextualInversion(file, { token: ' ' })).rejects.toThrow('`token` has to be a word')
    await expect(pipe.loadTextualInversion([file, file], { token: 'x' })).rejects.toThrow('a list of 2 words')
    await expect(pipe.loadTextualInversion([file, file], { token: ['x', 'x'] })).rejects.toThrow('"x" already')
    expect(() => pipe.unloadTextualInversion(['<two>', '<four>'])).toThrow(
      '"<four>" is loaded ("<one>", "<two>", "$^three")',
    )
    expect(await draw('<two>')).toEqual(await draw('red fox'))
    pipe.unloadTextualInversion()
  })

  it('of another family is refused in a sentence', async () => {
    const load = (name: string) => pipe.loadTextualInversion(`${LORAS}${name}`)
    await expect(load('emb-params.safetensors')).rejects.toThrow(
      'is for a model of another family: its vectors have 16 numbers',
    )
    await expect(load('xl-style.safetensors')).rejects.toThrow('its vectors have 16 and 24 numbers')
    await expect(load('kohya.safetensors')).rejects.toThrow('is no textual inversion')
    await expect(load('nothing.pt')).rejects.toThrow('There is no file')
  })
})

describe('words among tokens', () => {
  let tokenizer: CLIPTokenizer
  beforeAll(async () => {
    tokenizer = await CLIPTokenizer.fromFolder(`${FIXTURES}clip-tokenizer`)
  })
  const added = (words: Record<string, number[]>) =>
    new AddedTokens(
      Object.entries(words).map(([content, ids]) => ({ content, ids })),
      (text) => tokenizer.tokenize(text),
    )

  it('the longest name counts, inside words too; several vectors stand for a word alone', () => {
    const tokens = added({ '<a>': [1], '<a>b': [2], cat: [3, 4] })
    expect(tokens.split('x<a>bc <a>')).toEqual(['x', 2, 'c ', 1, ''])
    expect(tokens.split('acat')).toEqual(['a', 3, ' ', 4, ''])
    expect(tokens.split('none')).toEqual(['none'])
  })

  it('whatever the names are, a text is split into itself', () => {
    const name = fc.string({ minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 4 }), fc.array(fc.oneof(name, fc.string())), (names, parts) => {
        const text = parts.join('')
        const tokens = added(Object.fromEntries(names.map((one, i) => [one, [i]])))
        const joined = tokens.split(text).map((part) => (typeof part === 'number' ? names[part] : part))
        expect(joined.join('')).toBe(text)
      }),
    )
  })

  it('vectors of one word stay in one context', () => {
    tokenizer.added = added({ 'my-style': [50001, 50002, 50003] })
    const red = tokenizer.tokenize('red')[0]!
    const chunks = promptChunks(tokenizer, `${'red '.repeat(73)} my-style red`)
    expect(chunks.map(({ ids }) => ids.slice(1, 76).filter((id) => id !== tokenizer.eosTokenId))).toEqual([
      Array(73).fill(red),
      [50001, 50002, 50003, red],
    ])
    expect(promptChunks(tokenizer, `${'red '.repeat(72)} my-style`).length).toBe(1)
  })
})
