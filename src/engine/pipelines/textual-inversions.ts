/** The textual inversions that a pipeline has loaded: words of its tokenizers, rows of its text encoders. */

import { EngineError } from '../errors.ts'
import { AddedTokens } from '../text/added-tokens.ts'
import type { PromptEncoder, TextPart } from '../text/prompt-encoder.ts'
import type { AddedVectors, TextualInversion } from '../weights/textual-inversion.ts'
import { weightError } from '../weights/weight-error.ts'

/** One that was read, and the file that errors name. */
export interface ReadInversion {
  readonly inversion: TextualInversion
  readonly path: string
}

interface Word {
  readonly token: string
  /** By the part's place in the prompt encoder. */
  readonly vectors: ReadonlyMap<number, AddedVectors>
}

export class TextualInversions {
  readonly #encoder: PromptEncoder
  #words: readonly Word[] = []

  constructor(encoder: PromptEncoder) {
    this.#encoder = encoder
  }

  /**
   * All of them, or none.
   * @throws EngineError 'argument' for a word that is taken, 'model' for vectors of another family.
   */
  async load(inversions: readonly ReadInversion[]): Promise<void> {
    const words = [...this.#words]
    for (const { inversion, path } of inversions) {
      this.#checkToken(inversion.token, words)
      words.push({ token: inversion.token, vectors: this.#placed(inversion.vectors, path) })
    }
    for (const [i, part] of this.#encoder.parts.entries())
      if (words.some(({ vectors }) => vectors.has(i))) await part.textEncoder.addedRows.enable()
    this.#set(words)
  }

  /** @param tokens Left out, all of them. @throws EngineError 'argument' for a word that is not loaded. */
  unload(tokens: readonly string[] = this.#words.map(({ token }) => token)): void {
    for (const token of tokens)
      if (!this.#words.some((word) => word.token === token)) {
        const loaded = this.#words.map((word) => `"${word.token}"`).join(', ') || 'none'
        throw new EngineError('argument', `No textual inversion "${token}" is loaded (${loaded}).`)
      }
    this.#set(this.#words.filter(({ token }) => !tokens.includes(token)))
  }

  #set(words: readonly Word[]): void {
    this.#words = words
    for (const [i, { textEncoder, tokenizer }] of this.#encoder.parts.entries()) {
      const own = words.flatMap(({ token, vectors }) => {
        const found = vectors.get(i)
        return found ? [{ token, found }] : []
      })
      if (own.length > 0 || tokenizer.added.any) {
        let id = textEncoder.addedRows.size.firstId
        const tokens = own.map(({ token, found }) => ({
          content: token,
          ids: Array.from({ length: found.data.length / found.width }, () => id++),
        }))
        tokenizer.added = new AddedTokens(tokens, (text) => tokenizer.tokenize(text))
        textEncoder.addedRows.rows = own.map(({ found }) => found)
      }
    }
    this.#encoder.clear()
  }

  /** As diffusers names the vectors, `token`, `token_1` and so on, none of them may be there. */
  #checkToken(token: string, words: readonly Word[]): void {
    if (token.trim() === '') throw new EngineError('argument', '`token` has to be a word but is empty.')
    const isTaken = ({ tokenizer }: TextPart) =>
      [token, `${token}_1`].some((name) => tokenizer.idOf(name) !== undefined || tokenizer.added.has(name))
    if (words.some((word) => word.token === token) || this.#encoder.parts.some(isTaken))
      throw new EngineError('argument', `The tokenizer has a token "${token}" already; give another as \`token\`.`)
  }

  /** SDXL's files go to its encoders in order; one set of vectors to the encoder that it fits. */
  #placed(vectors: readonly AddedVectors[], path: string): Map<number, AddedVectors> {
    const widths = this.#encoder.parts.map(({ textEncoder }) => textEncoder.addedRows.size.width)
    const places = vectors.map(({ width }, i) => (vectors.length > 1 ? i : widths.indexOf(width)))
    if (places.every((place, i) => place >= 0 && widths[place] === vectors[i]!.width))
      return new Map(places.map((place, i) => [place, vectors[i]!]))
    const theirs = vectors.map(({ width }) => width).join(' and ')
    throw weightError(
      path,
      `is for a model of another family: its vectors have ${theirs} numbers where this model's have ${widths.join(' and ')}.`,
    )
  }
}
