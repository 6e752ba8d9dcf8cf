/** A layer norm whose weights are looked up in a graph, for states that the graph gives out before it. */

import { findLayerNorm } from '../graph/find-layer-norm.ts'
import type { Surroundings } from '../graph/surroundings.ts'
import { valuesOf } from '../graph/weight-values.ts'
import type { Tensor } from '../tensor.ts'

export class LayerNorm {
  readonly #weight: Float32Array
  readonly #bias: Float32Array
  readonly #epsilon: number

  constructor(weight: Float32Array, bias: Float32Array, epsilon: number) {
    this.#weight = weight
    this.#bias = bias
    this.#epsilon = epsilon
  }

  /** Over the last axis (Ba, Kiros and Hinton 2016). */
  apply({ data, dims }: Tensor): Tensor {
    const width = this.#weight.length
    const out = new Float32Array(data.length)
    for (let at = 0; at < data.length; at += width) {
      const row = data.subarray(at, at + width)
      const mean = row.reduce((sum, value) => sum + value, 0) / width
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width
      const scale = 1 / Math.sqrt(variance + this.#epsilon)
      for (let i = 0; i < width; i++) out[at + i] = (row[i]! - mean) * scale * this.#weight[i]! + this.#bias[i]!
    }
    return { data: out, dims }
  }
}

/**
 * The layer norm that makes `output`.
 * @returns Nothing where the graph makes it in another way, or without weights of its own.
 */
export function readLayerNorm(surroundings: Surroundings, output: string, epsilon: number): LayerNorm | undefined {
  const norm = findLayerNorm(surroundings, output)
  const numbers = (names: readonly string[] = []) => {
    const found = names.map((name) => surroundings.initializer(name)).find((initializer) => initializer !== undefined)
    return found && valuesOf(found)
  }
  const weight = numbers(norm?.weights)
  const bias = numbers(norm?.biases)
  return weight && bias ? new LayerNorm(weight, bias, epsilon) : undefined
}
