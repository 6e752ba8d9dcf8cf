/** CLIP's tokenizer, from a `tokenizer.json` or from `vocab.json` and `merges.txt`: text to token ids of a fixed length. */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { readText } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import { AddedTokens } from './added-tokens.ts'
import { clipTokenizerJson, type TokenizerJson } from './clip-tokenizer-json.ts'

/** Longer values in a `tokenizer_config.json` mean "none given" (transformers writes 1e30). */
const LONGEST_CONTEXT = 100_000

/** What a `tokenizer_config.json` and the text encoder's `config.json` may say; either may be absent. */
export interface TokenizerSettings {
  readonly bos_token?: unknown
  readonly eos_token?: unknown
  readonly pad_token?: unknown
  readonly model_max_length?: unknown
}

export interface TextEncoderSettings {
  readonly bos_token_id?: unknown
  readonly eos_token_id?: unknown
  readonly max_position_embeddings?: unknown
}

/** What the words are, without what a pipeline makes of them. */
export interface Vocabulary {
  tokenize(text: string): number[]
  idOf(token: string): number | undefined
  readonly lowercases: boolean
}

/** The library stays behind the result: its own declarations fail a strict consumer's type check. */
export function vocabularyOf(json: TokenizerJson): Vocabulary {
  const tokenizer = new Tokenizer({ ...json, ...withRustSpaces(json) }, {})
  return {
    tokenize: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
    idOf: (token) => tokenizer.token_to_id(token),
    lowercases: JSON.stringify(json.normalizer ?? null).includes('"Lowercase"'),
  }
}

/**
 * JavaScript's `\s` takes a byte order mark for a space and a next-line for none; Rust's, which these patterns were written
 * for, does not. ByteLevel's own pattern splits nothing that CLIP's has left together, so it can go.
 */
function withRustSpaces({ normalizer, pre_tokenizer }: TokenizerJson): TokenizerJson {
  const isSplitBefore = JSON.stringify(pre_tokenizer ?? null).includes('"Split"')
  const revive = (key: string, value: unknown) => {
    if (key === 'Regex' && typeof value === 'string') return value.replaceAll('\\s', '\\p{White_Space}')
    return key === 'use_regex' && isSplitBefore ? false : value
  }
  return JSON.parse(JSON.stringify({ normalizer: normalizer ?? null, pre_tokenizer: pre_tokenizer ?? null }), revive)
}

export class CLIPTokenizer {
  readonly bosTokenId: number
  readonly eosTokenId: number
  /** SD 1 pads with the end token, SD 2 and SDXL's second tokenizer with token 0. */
  readonly padTokenId: number
  /** Tokens in a context, the begin and end tokens included: 77 for CLIP. */
  readonly modelMaxLength: number
  /** The words of textual inversions; `tokenize` reads them as any text. */
  added = new AddedTokens([], (text) => this.tokenize(text))
  readonly #vocabulary: Vocabulary
  /** Where a word of the vocabulary was named as padding (SD 2: "!"). */
  readonly #padToken: string | undefined

  constructor(vocabulary: Vocabulary, settings: TokenizerSettings = {}, encoder: TextEncoderSettings = {}) {
    this.#vocabulary = vocabulary
    this.bosTokenId = this.#special(settings.bos_token, encoder.bos_token_id, '<|startoftext|>')
    this.eosTokenId = this.#special(settings.eos_token, encoder.eos_token_id, '<|endoftext|>')
    this.padTokenId = this.#special(settings.pad_token, this.eosTokenId)
    const padToken = contentOf(settings.pad_token)
    if (padToken && ![this.bosTokenId, this.eosTokenId].includes(this.padTokenId)) this.#padToken = padToken
    this.modelMaxLength = contextLength(settings, encoder)
  }

  /**
   * Reads a pipeline's `tokenizer/` folder.
   * @throws EngineError 'model' when the folder holds no tokenizer or a damaged one.
   */
  static async fromFolder(folder: string, encoder: TextEncoderSettings = {}): Promise<CLIPTokenizer> {
    try {
      const special = await optionalJson(join(folder, 'special_tokens_map.json'))
      const config = await optionalJson(join(folder, 'tokenizer_config.json'))
      // As in transformers, the map is right (SD 2: its padding) unless the config is of the newer kind that needs no map.
      const settings = 'added_tokens_decoder' in config ? { ...special, ...config } : { ...config, ...special }
      return new CLIPTokenizer(await readVocabulary(folder), settings, encoder)
    } catch (error) {
      if (error instanceof EngineError) throw error
      throw new EngineError('model', `The tokenizer in ${folder} cannot be read; download the model again.`, {
        cause: error,
      })
    }
  }

  /** A word of its own vocabulary, as it stands there. */
  idOf(token: string): number | undefined {
    return this.#vocabulary.idOf(token)
  }

  /** The tokens of a text, without begin, end and padding. */
  tokenize(text: string): number[] {
    const ids = this.#vocabulary.tokenize(this.#normalized(text))
    if (ids.every(Number.isInteger)) return ids
    throw new EngineError(
      'model',
      "The tokenizer's vocabulary lacks letters, so it is damaged; download the model again.",
    )
  }

  /**
   * Begin, the text's tokens cut to fit, end, padding: `length` ids. As in transformers, the text of the padding token is
   * that token wherever it stands, so SD 2's and SDXL's "wow!" ends in padding; weighted prompts have the word, as in
   * AUTOMATIC1111.
   */
  encode(text: string, length = this.modelMaxLength): number[] {
    const tokens = this.added
      .split(text)
      .flatMap((part) => (typeof part === 'number' ? part : this.#tokenizeWithPadding(part)))
    return this.frame(tokens.slice(0, length - 2), length)
  }

  #tokenizeWithPadding(text: string): number[] {
    const [first = '', ...others] = this.#padToken ? text.split(this.#padToken) : [text]
    return [...this.tokenize(first), ...others.flatMap((part) => [this.padTokenId, ...this.tokenize(part)])]
  }

  /** Puts begin and end around tokens and pads them to `length`. */
  frame(tokens: readonly number[], length = this.modelMaxLength): number[] {
    const ids = [this.bosTokenId, ...tokens, this.eosTokenId]
    while (ids.length < length) ids.push(this.padTokenId)
    return ids
  }

  /** The reference lowercases letter by letter: a Greek capital sigma never becomes a final one, as JavaScript makes it. */
  #normalized(text: string): string {
    if (!this.#vocabulary.lowercases) return text
    return text.normalize('NFC').replaceAll('Σ', 'σ').toLowerCase()
  }

  #special(token: unknown, id: unknown, usual?: string): number {
    const content = contentOf(token)
    const named = content === undefined ? undefined : this.#vocabulary.idOf(content)
    if (named !== undefined) return named
    // Before the text encoder's word, which in SD 1's config is 0 and 2: transformers does not ask it at all.
    const found = usual === undefined ? undefined : this.#vocabulary.idOf(usual)
    if (found !== undefined) return found
    if (typeof id === 'number') return id
    throw new EngineError('model', 'The tokenizer names no begin and end tokens; download the model again.')
  }
}

/** A special token is its text, or an object that holds it. */
function contentOf(token: unknown): string | undefined {
  const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token
  return typeof content === 'string' ? content : undefined
}

function contextLength(settings: TokenizerSettings, encoder: TextEncoderSettings): number {
  for (const length of [settings.model_max_length, encoder.max_position_embeddings])
    if (typeof length === 'number' && length > 2 && length < LONGEST_CONTEXT) return length
  return 77
}

/** Half a second's work for CLIP's 49,408 words: SDXL's two tokenizers share it, and a model that is opened again. */
let lastRead: { readonly hash: string; readonly vocabulary: WeakRef<Vocabulary> } | undefined

async function readVocabulary(folder: string): Promise<Vocabulary> {
  const files = await tokenizerFiles(folder)
  const hash = createHash('sha256').update(files.join('\0')).digest('hex')
  const known = lastRead?.hash === hash ? lastRead.vocabulary.deref() : undefined
  const vocabulary = known ?? vocabularyOf(parseTokenizer(files))
  lastRead = { hash, vocabulary: new WeakRef(vocabulary) }
  return vocabulary
}

function parseTokenizer([whole, vocab, merges]: readonly string[]): TokenizerJson {
  return whole ? (JSON.parse(whole) as TokenizerJson) : clipTokenizerJson(JSON.parse(vocab!), merges!)
}

async function tokenizerFiles(folder: string): Promise<string[]> {
  const whole = join(folder, 'tokenizer.json')
  if (existsSync(whole)) return [await readText(whole)]
  const [vocab, merges] = [join(folder, 'vocab.json'), join(folder, 'merges.txt')]
  if (!existsSync(vocab) || !existsSync(merges))
    throw new EngineError(
      'model',
      `${folder} has neither tokenizer.json nor vocab.json with merges.txt; download the model again.`,
    )
  return ['', await readText(vocab), await readText(merges)]
}

async function optionalJson(path: string): Promise<TokenizerSettings> {
  return existsSync(path) ? (JSON.parse(await readText(path)) as TokenizerSettings) : {}
}
