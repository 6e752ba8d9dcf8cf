/** AUTOMATIC1111's prompt syntax: `(red:1.3)`, `((red))`, `[red]`, `\(`, `BREAK`, as pieces of text with their weights. */

/** Text between two changes of weight, or the place where a new context begins. */
export type PromptPiece = { readonly text: string; readonly weight: number } | 'BREAK'

/** A round bracket strengthens by this factor, a square one weakens by it. */
const BRACKET_FACTOR = 1.1

/** In order: a backslash with what it escapes, which may be nothing, `: weight )`, one bracket, plain text, a lone colon. */
const SYNTAX = /\\([()[\]\\]?)|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|([()[\]])|([^\\()[\]:]+)|:/g

const BREAK = /\s*\bBREAK\b\s*/

interface Weighted {
  text: string
  weight: number
}

/**
 * As in AUTOMATIC1111's `prompt_parser.py`: brackets that are never closed hold to the end, ones that were never opened
 * are text, a backslash that escapes nothing is left out, and neighbours of one weight are joined.
 */
export function parsePromptAttention(prompt: string): PromptPiece[] {
  const pieces: (Weighted | 'BREAK')[] = []
  const round: number[] = []
  const square: number[] = []
  const multiply = (from: number, factor: number) => {
    for (const piece of pieces.slice(from)) if (piece !== 'BREAK') piece.weight *= factor
  }

  for (const [whole, escaped, weight, bracket, text] of prompt.matchAll(SYNTAX)) {
    if (escaped !== undefined) pieces.push({ text: escaped, weight: 1 })
    else if (bracket === '(') round.push(pieces.length)
    else if (bracket === '[') square.push(pieces.length)
    else if (weight !== undefined && round.length > 0) multiply(round.pop()!, Number(weight))
    else if (bracket === ')' && round.length > 0) multiply(round.pop()!, BRACKET_FACTOR)
    else if (bracket === ']' && square.length > 0) multiply(square.pop()!, 1 / BRACKET_FACTOR)
    else pieces.push(...withBreaks(text ?? whole))
  }
  for (const from of round) multiply(from, BRACKET_FACTOR)
  for (const from of square) multiply(from, 1 / BRACKET_FACTOR)
  return joined(pieces)
}

function withBreaks(text: string): (Weighted | 'BREAK')[] {
  return text.split(BREAK).flatMap((part, index) => {
    const piece = { text: part, weight: 1 }
    return index === 0 ? [piece] : ['BREAK' as const, piece]
  })
}

function joined(pieces: readonly (Weighted | 'BREAK')[]): PromptPiece[] {
  const result: (Weighted | 'BREAK')[] = []
  for (const piece of pieces) {
    const last = result.at(-1)
    if (piece !== 'BREAK' && last !== undefined && last !== 'BREAK' && last.weight === piece.weight)
      last.text += piece.text
    else result.push(piece === 'BREAK' ? piece : { ...piece })
  }
  return result.length > 0 ? result : [{ text: '', weight: 1 }]
}
