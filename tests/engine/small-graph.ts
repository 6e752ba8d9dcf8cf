/** Graphs of a few nodes, written by hand, and a model that is opened from one. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import protobuf from 'protobufjs/light.js'
import { toFloat16 } from '../../src/engine/float16.ts'
import type { GraphSource } from '../../src/engine/graph/graph-source.ts'
import { inputField, outputField, type Shape } from '../../src/engine/graph/onnx-bytes.ts'
import type { Initializer, OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { DataType, type NodeProto } from '../../src/engine/graph/onnx-schema.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

export function node(opType: string, input: string[], output: string, rest: Partial<NodeProto> = {}): NodeProto {
  return { opType, input, output: [output], name: output, attribute: [], ...rest }
}

/** From `x` to `y`. */
export function graphOf(
  nodes: NodeProto[],
  initializers: Initializer[],
  { x, y, type = DataType.FLOAT }: { x: Shape; y: Shape; type?: number },
): OnnxGraph {
  return {
    nodes,
    untouched: new Map(),
    initializers,
    opsets: [{ domain: '', version: 17 }],
    graphRest: [inputField('x', type, x), outputField('y', type, y)],
    modelRest: [protobuf.Writer.create().uint32(8).int32(8).finish()],
  }
}

export function sourceOf(read: () => OnnxGraph, part = 'unet'): GraphSource {
  return { part, path: 'small.onnx', read }
}

/** Numbers about −1 to 1 that repeat with `seed`. */
export function numbers(count: number, seed = 1): Float32Array {
  let state = seed
  return Float32Array.from({ length: count }, () => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 1073741824 - 1
  })
}

export type StoredAs = 'F32' | 'F16' | 'BF16'

/** A weight in a file of its own. */
export function inFile(name: string, dims: number[], values: Float32Array, as: StoredAs = 'F32'): Initializer {
  const path = join(temporaryFolder(), `${name}.bin`)
  const bytes = bytesOf(values, as)
  // Not at the beginning, so that an offset that is forgotten shows.
  writeFileSync(path, Buffer.concat([Buffer.alloc(10), bytes]))
  const dataType = { F32: DataType.FLOAT, F16: DataType.FLOAT16, BF16: DataType.BFLOAT16 }[as]
  return { tensor: { name, dims, dataType }, place: { path, offset: 10, length: bytes.length } }
}

export function inGraph(name: string, dims: number[], values: Float32Array): Initializer {
  return { tensor: { name, dims, dataType: DataType.FLOAT, rawData: bytesOf(values, 'F32') } }
}

function bytesOf(values: Float32Array, as: StoredAs): Uint8Array {
  if (as === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const halves = new Uint16Array(values.length)
  if (as === 'F16') toFloat16(values, halves)
  else halves.set(new Uint32Array(values.buffer).map((bits) => bits >>> 16))
  return new Uint8Array(halves.buffer)
}
