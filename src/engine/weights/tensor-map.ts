/** Weights by name: those of one file, and others under other names. */

import type { StoredTensor, Weights } from './stored-tensor.ts'

/** What a file of weights holds. */
export interface WeightFile {
  readonly weights: Weights
  /** What it says of itself: safetensors' `__metadata__`; the numbers and words beside the weights in a file of torch. */
  readonly metadata: ReadonlyMap<string, string>
}

export function weightsOf(tensors: ReadonlyMap<string, StoredTensor>): Weights {
  return { get: (name) => tensors.get(name), names: () => tensors.keys() }
}

/** The same weights, each under the name that `rename` makes of the one that it has; of two with one name, the unchanged one stays. */
export function renameWeights(weights: Weights, rename: (name: string) => string): Weights {
  const inFile = new Map<string, string>()
  for (const name of weights.names()) {
    const renamed = rename(name)
    if (renamed === name || !inFile.has(renamed)) inFile.set(renamed, name)
  }
  const get = (name: string) => {
    const own = inFile.get(name)
    return own === undefined ? undefined : weights.get(own)
  }
  return { get, names: () => inFile.keys() }
}
