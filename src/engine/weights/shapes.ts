/** What a part's shapes say of it: how many blocks and layers there are, and how wide. */

import type { Weights } from './stored-tensor.ts'

/** More of a kind than any model has, as only a file that lies about itself holds. */
const MOST = 256

/** The highest number that a pattern's first group finds, or -1. */
export function highestNumber(names: Iterable<string>, pattern: RegExp): number {
  let highest = -1
  for (const name of names) highest = Math.max(highest, Number(pattern.exec(name)?.[1] ?? -1))
  return highest
}

export class Shapes {
  readonly #weights: Weights
  readonly #names: readonly string[]

  constructor(weights: Weights) {
    this.#weights = weights
    this.#names = [...weights.names()]
  }

  /** Whether a weight's name begins so. */
  has(start: string): boolean {
    return this.#names.some((name) => name.startsWith(start))
  }

  /** Nothing where there is no such weight. */
  shape(name: string): readonly number[] | undefined {
    return this.#weights.get(name)?.shape
  }

  /** One axis of a weight, 0 where there is none. */
  size(name: string, axis: number): number {
    return this.shape(name)?.[axis] ?? 0
  }

  /** How many numbered things there are: `count('down_blocks.')`. */
  count(start: string): number {
    let highest = -1
    for (const name of this.#names)
      if (name.startsWith(start)) highest = Math.max(highest, Number(/^\d+/.exec(name.slice(start.length))?.[0] ?? -1))
    return Math.min(highest + 1, MOST)
  }
}
