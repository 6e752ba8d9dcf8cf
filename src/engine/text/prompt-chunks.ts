/** A weighted prompt of any length as contexts that the text encoder can hold, cut where AUTOMATIC1111 cuts. */

import type { CLIPTokenizer } from './clip-tokenizer.ts'
import { parsePromptAttention } from './prompt-attention.ts'

/** One context: as many ids, and weights for them, as the encoder takes. */
export interface PromptChunk {
  readonly ids: readonly number[]
  readonly weights: readonly number[]
}

/** A full context ends at its last comma instead, if that is at most so many tokens back. */
const COMMA_BACKTRACK = 20

interface Token {
  readonly id: number
  readonly weight: number
}

export function promptChunks(tokenizer: CLIPTokenizer, prompt: string): PromptChunk[] {
  const size = tokenizer.modelMaxLength - 2
  const [comma] = tokenizer.tokenize(',')
  const chunks: Token[][] = []
  let chunk: Token[] = []
  let afterComma = 0
  const next = (kept: Token[] = []) => {
    chunks.push(chunk)
    chunk = kept
    afterComma = 0
  }

  for (const piece of parsePromptAttention(prompt)) {
    if (piece === 'BREAK') {
      next()
      continue
    }
    const ids = tokenizer.tokenize(piece.text)
    for (let at = 0; at < ids.length; ) {
      const id = ids[at]!
      const full = chunk.length === size
      if (id === comma) afterComma = chunk.length + 1
      else if (full && afterComma > 0 && size - afterComma < COMMA_BACKTRACK) next(chunk.splice(afterComma))
      if (chunk.length === size) next()
      // The vectors of a textual inversion stay together.
      const added = tokenizer.added.at(ids, at) ?? { ids: [id], length: 1 }
      if (chunk.length + added.ids.length > size) next()
      chunk.push(...added.ids.map((one) => ({ id: one, weight: piece.weight })))
      at += added.length
    }
  }
  if (chunk.length > 0 || chunks.length === 0) next()
  return chunks.map((tokens) => framed(tokenizer, tokens))
}

function framed(tokenizer: CLIPTokenizer, tokens: readonly Token[]): PromptChunk {
  const ids = tokenizer.frame(tokens.map(({ id }) => id))
  const weights = [1, ...tokens.map(({ weight }) => weight)]
  while (weights.length < ids.length) weights.push(1)
  return { ids, weights }
}
