/** A layer norm whose weights are looked up in a graph, for states that the graph gives out before it. */

import { closeSync, openSync, readSync } from 'node:fs'
import { type Initializer, readOnnx } from '../graph/onnx-file.ts'
import { DataType, type NodeProto } from '../graph/onnx-schema.ts'
import type { Tensor } from '../tensor.ts'
import { fromFloat16 } from './float16.ts'

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
 * The layer norm that makes `output`: one node since opset 17, before that a division followed by `Mul` and `Add`.
 * @returns Nothing where the graph makes it in another way, or keeps the weights in a file beside it.
 */
export function readLayerNorm(path: string, output: string, epsilon: number): LayerNorm | undefined {
  const { nodes, initializers } = readOnnx(path)
  const maker = (name: string | undefined): NodeProto | undefined => {
    const node = nodes.find((one) => name !== undefined && one.output.includes(name))
    return node && ['Identity', 'Cast'].includes(node.opType) ? maker(node.input[0]) : node
  }
  const weight = (name: string | undefined): Float32Array | undefined => {
    const found = initializers.find(({ tensor }) => tensor.name === name)
    if (found) return weights(path, found)
    // Exporters store equal weights once, and give the other names by Identity.
    const alias = nodes.find((one) => one.opType === 'Identity' && name !== undefined && one.output.includes(name))
    return alias && weight(alias.input[0])
  }
  const last = maker(output)
  if (last?.opType === 'LayerNormalization') return pair(weight(last.input[1]), weight(last.input[2]), epsilon)
  const scaled = last?.opType === 'Add' ? last.input.map(maker).find((node) => node?.opType === 'Mul') : undefined
  if (!last || !scaled) return undefined
  const among = (names: readonly string[]) => names.map(weight).find((found) => found !== undefined)
  return pair(among(scaled.input), among(last.input), epsilon)
}

function pair(
  weight: Float32Array | undefined,
  bias: Float32Array | undefined,
  epsilon: number,
): LayerNorm | undefined {
  return weight && bias ? new LayerNorm(weight, bias, epsilon) : undefined
}

function weights(path: string, { tensor, data }: Initializer): Float32Array | undefined {
  const bytes = data ? readAt(path, data.offset, data.length) : tensor.rawData
  if (!bytes?.length) return undefined
  const copy = Uint8Array.from(bytes)
  if (tensor.dataType === DataType.FLOAT) return new Float32Array(copy.buffer)
  return tensor.dataType === DataType.FLOAT16 ? fromFloat16(new Uint16Array(copy.buffer)) : undefined
}

function readAt(path: string, offset: number, length: number): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(length)
    readSync(file, bytes, 0, length, offset)
    return bytes
  } finally {
    closeSync(file)
  }
}
