/** The cases of `tests/fixtures/written-graphs`: weights made from their names, and what diffusers computes with them. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import type { Config } from '../../src/engine/config-file.ts'
import { fromFloat16, toFloat16 } from '../../src/engine/float16.ts'
import { encodeOnnx } from '../../src/engine/graph/onnx-bytes.ts'
import type { OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { readSafetensors } from '../../src/engine/weights/safetensors.ts'
import type { StoredTensor, Weights } from '../../src/engine/weights/stored-tensor.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

const FOLDER = fileURLToPath(new URL('../fixtures/written-graphs/', import.meta.url))

export type FileType = 'F32' | 'F16' | 'BF16'
type Shapes = Record<string, number[]>

export interface Case {
  readonly config: Config
  readonly weights: Shapes
  /** Shapes, but token ids and masks as they are. */
  readonly inputs: Record<string, number[] | number[][]>
}

export function readCase(name: string): Case {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8'))
}

/** What diffusers gave. */
export function readOutputs(name: string): Map<string, Tensor> {
  const path = join(FOLDER, `${name}.safetensors`)
  const file = readFileSync(path)
  const { weights } = readSafetensors(path)
  return new Map(
    [...weights.names()].map((output) => {
      const { offset, length, shape } = weights.get(output)!
      const bytes = Uint8Array.from(file.subarray(offset, offset + length))
      return [output, { data: new Float32Array(bytes.buffer), dims: [...shape] }]
    }),
  )
}

/** The weights of a case as a file of that type. */
export function writtenWeights({ weights }: Pick<Case, 'weights'>, type: FileType = 'F32'): Weights {
  return safetensors(
    Object.entries(weights).map(([name, shape]) => ({ name, shape, data: weight(name, shape) })),
    type,
  )
}

/** One matrix of a case in a file of its own that holds it as [inputs, outputs]. */
export function swappedWeights({ weights }: Pick<Case, 'weights'>, name: string): StoredTensor {
  const [rows, columns] = weights[name] as [number, number]
  const straight = weight(name, [rows, columns])
  const data = straight.map((_, i) => straight[(i % rows) * columns + Math.floor(i / rows)]!)
  const stored = safetensors([{ name, shape: [columns, rows], data }], 'F32').get(name)!
  return { ...stored, shape: [rows, columns], transposed: true }
}

function safetensors(tensors: { name: string; shape: number[]; data: Float32Array }[], type: FileType): Weights {
  const header: Record<string, unknown> = {}
  const parts: Uint8Array[] = []
  let at = 0
  for (const { name, shape, data } of tensors) {
    const bytes = encoded(data, type)
    header[name] = { dtype: type, shape, data_offsets: [at, at + bytes.length] }
    at += bytes.length
    parts.push(bytes)
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  const path = join(temporaryFolder(), 'model.safetensors')
  writeFileSync(path, Buffer.concat([length, json, ...parts]))
  return readSafetensors(path).weights
}

/** In -1..1: `numbers` of the Python script beside the fixtures. */
function numbers(name: string, count: number): Float64Array {
  let seed = 2166136261
  for (const byte of Buffer.from(name)) seed = Math.imul(seed ^ byte, 16777619)
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0
    x = Math.imul(x ^ (x >>> 16), 73244475) >>> 0
    x = Math.imul(x ^ (x >>> 16), 73244475) >>> 0
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1
  })
}

function weight(name: string, shape: readonly number[]): Float32Array {
  const raw = numbers(name, product(shape))
  const scale = shape.length > 1 ? Math.sqrt(3 / product(shape.slice(1))) : 0.3
  const shift = shape.length > 1 ? 0 : name.endsWith('.weight') ? 1 : name.endsWith('embeds_weights') ? 0.45 : 0
  return Float32Array.from(raw, (u) => shift + u * scale)
}

/** Inputs of a run, as the Python script makes them. */
export function feedsOf({ inputs }: Pick<Case, 'inputs'>): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = { timestep: { data: Float32Array.of(981, 20.5), dims: [2] } }
  for (const [name, shape] of Object.entries(inputs)) {
    if (Array.isArray(shape[0])) {
      const rows = shape as number[][]
      feeds[name] = { data: Float32Array.from(rows.flat()), dims: [rows.length, rows[0]!.length] }
    } else {
      const dims = shape as number[]
      feeds[name] = { data: Float32Array.from(numbers(name, product(dims)), (u) => u * 1.7), dims }
    }
  }
  return feeds
}

export async function openGraph(graph: OnnxGraph, options: InferenceSession.SessionOptions = {}) {
  const { bytes, folder } = encodeOnnx(graph)
  return InferenceSession.create(bytes, {
    intraOpNumThreads: 1,
    ...options,
    extra: { session: { ...(folder !== undefined && { model_external_initializers_file_folder_path: folder }) } },
  })
}

/** Runs a graph once; inputs that it does not take are left out. */
export async function runGraph(graph: OnnxGraph, feeds: Record<string, Tensor>): Promise<Map<string, Tensor>> {
  const session = await openGraph(graph)
  const given = session.inputMetadata.map(({ name, ...input }) => {
    const { data, dims } = feeds[name]!
    return [name, toOrt('type' in input ? input.type : 'float32', data as Float32Array, dims)]
  })
  const results = await session.run(Object.fromEntries(given))
  await session.release()
  return new Map(
    Object.entries(results).map(([name, { type, data, dims }]) => {
      const values = type === 'float16' ? fromFloat16(bits(data as unknown as Uint16Array)) : data
      return [name, { data: Float32Array.from(values as ArrayLike<number>, Number), dims }]
    }),
  )
}

function toOrt(type: string, data: Float32Array, dims: readonly number[]): OrtTensor {
  if (type === 'int64') return new OrtTensor('int64', BigInt64Array.from(data, BigInt), dims)
  if (type !== 'float16') return new OrtTensor('float32', data, dims)
  const half = toFloat16(data, new Uint16Array(data.length))
  return { type, dims, data: half, location: 'cpu' } as unknown as OrtTensor
}

function bits({ buffer, byteOffset, length }: Uint16Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length)
}

function encoded(values: Float32Array, type: FileType): Uint8Array {
  const data =
    type === 'F32' ? values : type === 'F16' ? toFloat16(values, new Uint16Array(values.length)) : bfloat16(values)
  return new Uint8Array(data.buffer)
}

/** The upper half of each number, rounded to nearest even. */
function bfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer)
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16)
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * size, 1)
}
