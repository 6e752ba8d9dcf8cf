/** What a part's shapes say of it: how many blocks and layers there are, and how wide. */

import type { Weights } from './stored-tensor.ts'

/** More of a kind than any model has, as only a file that lies about itself holds. */
export const MOST = 64

/** Words of a weight's name, from the left, among which numbers are looked for. */
const DEEPEST = 12

/** The highest number that a pattern's first group finds, or -1. */
export function highestNumber(names: Iterable<string>, pattern: RegExp): number {
  let highest = -1
  for (const name of names) highest = Math.max(highest, Number(pattern.exec(name)?.[1] ?? -1))
  return highest
}

export class Shapes {
  readonly #weights: Weights
  /** By what names begin with, up to a dot: the highest number that follows it, or -1. */
  readonly #highest = new Map<string, number>()

  constructor(weights: Weights) {
    this.#weights = weights
    for (const name of weights.names()) this.#add(name.split('.').slice(0, DEEPEST))
  }

  /** Whether there is a weight inside the module. */
  has(module: string): boolean {
    return this.#highest.has(module)
  }

  /** Nothing where there is no such weight. */
  shape(name: string): readonly number[] | undefined {
    return this.#weights.get(name)?.shape
  }

  /** One axis of a weight, 0 where there is none. */
  size(name: string, axis: number): number {
    return this.shape(name)?.[axis] ?? 0
  }

  /** How many numbered modules there are inside that one. */
  count(module: string): number {
    return Math.min(1 + (this.#highest.get(module) ?? -1), MOST)
  }

  #add(words: readonly string[]): void {
    let module = ''
    for (const [i, word] of words.entries()) {
      if (i > 0) {
        const number = /^\d+$/.test(word) ? Number(word) : -1
        this.#highest.set(module, Math.max(number, this.#highest.get(module) ?? -1))
      }
      module = i === 0 ? word : `${module}.${word}`
    }
  }
}
