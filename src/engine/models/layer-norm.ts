/** A layer norm whose weights are looked up in a graph, for states that the graph gives out before it. */

import { closeSync, openSync, readSync } from 'node:fs'
import { findLayerNorm } from '../graph/find-layer-norm.ts'
import type { Initializer, Place } from '../graph/onnx-file.ts'
import { DataType } from '../graph/onnx-schema.ts'
import type { Surroundings } from '../graph/surroundings.ts'
import type { Tensor } from '../tensor.ts'
import { fromBfloat16, fromFloat16 } from './float16.ts'

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
    return found && read(found)
  }
  const weight = numbers(norm?.weights)
  const bias = numbers(norm?.biases)
  return weight && bias ? new LayerNorm(weight, bias, epsilon) : undefined
}

function read({ tensor, place }: Initializer): Float32Array | undefined {
  const bytes = place ? readAt(place) : tensor.rawData
  if (!bytes?.length) return undefined
  const { buffer } = Uint8Array.from(bytes)
  switch (tensor.dataType) {
    case DataType.FLOAT:
      return new Float32Array(buffer)
    case DataType.FLOAT16:
      return fromFloat16(new Uint16Array(buffer))
    case DataType.BFLOAT16:
      return fromBfloat16(new Uint16Array(buffer))
    default:
      return undefined
  }
}

function readAt({ path, offset, length }: Place): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(length)
    readSync(file, bytes, 0, length, offset)
    return bytes
  } finally {
    closeSync(file)
  }
}
