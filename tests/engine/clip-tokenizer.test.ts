import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { CLIPTokenizer, vocabularyOf } from '../../src/engine/text/clip-tokenizer.ts'
import { clipTokenizerJson } from '../../src/engine/text/clip-tokenizer-json.ts'
import { clipVocabulary } from '../../src/engine/text/clip-vocabulary.ts'
import { FIXTURES, temporaryFolder } from './tiny-pipeline.ts'

interface Golden {
  prompt: string
  ids: number[]
}

const readGoldens = (name: string) =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)), 'utf8'))

const goldens = readGoldens('golden_clip_tokens.json') as (Golden & { n_untruncated: number })[]

/** What transformers 5 makes of letters that JavaScript's regular expressions and lowercasing see in their own way. */
const unicode = readGoldens('golden_clip_tokens_unicode.json') as Golden[]

describe('the vocabulary that comes with the program', () => {
  it('tokenizes as the reference does, for each encoder with its own padding', async () => {
    const vocabulary = await clipVocabulary()
    const sd1 = new CLIPTokenizer(vocabulary, { pad_token: '<|endoftext|>' })
    for (const { prompt, ids } of goldens) expect(sd1.encode(prompt)).toEqual(ids)
    for (const { prompt, ids } of unicode) expect(sd1.encode(prompt, ids.length)).toEqual(ids)
    const sd2 = new CLIPTokenizer(vocabulary, { pad_token: '!' })
    expect(sd2.encode('a cat', 6)).toEqual([49406, 320, 2368, 49407, 0, 0])
  })

  it('has the words of the published one, each with its id', async () => {
    const published = JSON.parse(readFileSync(join(FIXTURES, 'clip-tokenizer', 'vocab.json'), 'utf8'))
    const vocabulary = await clipVocabulary()
    const differing = Object.keys(published).filter((word) => vocabulary.idOf(word) !== published[word])
    expect(differing).toEqual([])
  })
})

describe('CLIPTokenizer', () => {
  const folder = join(FIXTURES, 'clip-tokenizer')
  let tokenizer: CLIPTokenizer
  beforeAll(async () => {
    tokenizer = await CLIPTokenizer.fromFolder(folder)
  })

  it.each(goldens)('agrees with the reference on "$prompt"', ({ prompt, ids, n_untruncated }) => {
    expect(tokenizer.encode(prompt)).toEqual(ids)
    expect(tokenizer.tokenize(prompt)).toHaveLength(n_untruncated - 2)
  })

  it.each(unicode)('agrees with the reference on $prompt', ({ prompt, ids }) => {
    expect(tokenizer.encode(prompt, ids.length)).toEqual(ids)
  })

  it('always gives a whole context that begins and ends as CLIP wants it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (prompt) => {
        const ids = tokenizer.encode(prompt)
        expect(ids).toHaveLength(77)
        expect(ids[0]).toBe(49406)
        expect(ids[76]).toBe(49407)
      }),
      { numRuns: 50 },
    )
  })

  it.each([
    ['special_tokens_map.json, as in SD 2', {}, 0],
    ['a tokenizer_config.json of the newer kind', { added_tokens_decoder: {} }, 49407],
  ])('believes %s about the padding', async (_what, newer, pad) => {
    const sd2 = temporaryFolder()
    cpSync(folder, sd2, { recursive: true })
    writeFileSync(join(sd2, 'tokenizer_config.json'), JSON.stringify({ pad_token: '<|endoftext|>', ...newer }))
    writeFileSync(join(sd2, 'special_tokens_map.json'), JSON.stringify({ pad_token: '!' }))
    expect((await CLIPTokenizer.fromFolder(sd2)).padTokenId).toBe(pad)
  })

  it('pads with what the settings name, as SD 2 does', () => {
    const vocab = JSON.parse(readFileSync(join(folder, 'vocab.json'), 'utf8'))
    const vocabulary = vocabularyOf(clipTokenizerJson(vocab, readFileSync(join(folder, 'merges.txt'), 'utf8')))
    const named = new CLIPTokenizer(vocabulary, { pad_token: { content: '!' } })
    expect(named.encode('a cat', 7)).toEqual([49406, 320, 2368, 49407, 0, 0, 0])
    // transformers finds the padding token in a text too, like any special token.
    expect(named.encode('wow! a!b !!', 10)).toEqual([49406, 2781, 0, 320, 0, 321, 0, 0, 49407, 0])
    // What the text encoder's config says may be as in SD 1: ids of another tokenizer.
    const encoder = { bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 }
    expect(new CLIPTokenizer(vocabulary, {}, encoder).encode('a cat', 6)).toEqual([
      49406, 320, 2368, 49407, 49407, 49407,
    ])
  })

  it('reads the embedded model’s tokenizer.json with its own context length', async () => {
    const emoji = await CLIPTokenizer.fromFolder(
      fileURLToPath(new URL('../../models/emoji/tokenizer', import.meta.url)),
    )
    expect(emoji.encode('')).toEqual([emoji.bosTokenId, ...Array(emoji.modelMaxLength - 1).fill(emoji.eosTokenId)])
  })

  it('says what a folder without a tokenizer lacks', async () => {
    await expect(CLIPTokenizer.fromFolder(temporaryFolder())).rejects.toThrow(/neither tokenizer\.json nor vocab\.json/)
  })
})
