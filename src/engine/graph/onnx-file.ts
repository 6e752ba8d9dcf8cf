/** An ONNX file with its nodes read and everything else left where it lies: weights of gigabytes are never parsed. */

import { closeSync, existsSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import protobuf from 'protobufjs/light.js'
import type { CacheEntry } from '../cache/cache-entries.ts'
import { EngineError } from '../errors.ts'
import {
  type NodeProto,
  nodeProto,
  type OperatorSetIdProto,
  operatorSetIdProto,
  type TensorProto,
  tensorProto,
} from './onnx-schema.ts'

/** Where bytes lie. */
export interface Place {
  /** Absolute; links in it are not resolved. */
  readonly path: string
  readonly offset: number
  readonly length: number
}

/** A weight. `place` is where its bytes lie when they are not in `tensor`: in the ONNX file, beside it, in a .safetensors. */
export interface Initializer {
  readonly tensor: TensorProto
  readonly place?: Place
  /** Its bytes where they are in memory and too many for the graph's own. */
  readonly bytes?: Uint8Array
}

/** A graph's outline. `rest` fields are raw, tags included, and are written back as they are. */
export interface OnnxGraph {
  nodes: NodeProto[]
  /** Nodes as they stood in a file: an untouched one is written back with all that its schema here leaves out. */
  readonly untouched: ReadonlyMap<NodeProto, Uint8Array>
  initializers: Initializer[]
  opsets: OperatorSetIdProto[]
  readonly graphRest: readonly Uint8Array[]
  readonly modelRest: readonly Uint8Array[]
  /** What is kept in Seedling's cache and weights lie in; used until the session is closed. */
  readonly entries?: readonly CacheEntry[]
}

export const MODEL = { graph: 7, opsetImport: 8 }
export const GRAPH = { node: 1, initializer: 5, input: 11, output: 12, valueInfo: 13 }
const TENSOR = { rawData: 9 }

/** Raw data up to this many bytes is read: constants that the rewriting must know. */
const SMALL = 1024

/** Reads the outline, in milliseconds whatever the size. @throws EngineError `model` when the file is no ONNX model or was cut off */
export function readOnnx(path: string): OnnxGraph {
  const file = openSync(path, 'r')
  try {
    return readModel(file, fstatSync(file).size, resolve(path))
  } catch (error) {
    if (error instanceof EngineError) throw error
    throw new EngineError('model', `${path} is damaged or half-downloaded; download the model again.`, { cause: error })
  } finally {
    closeSync(file)
  }
}

/** @throws EngineError 'model' where the file ends before */
export function bytesAt({ path, offset, length }: Place): Uint8Array {
  const file = openSync(path, 'r')
  try {
    return read(file, offset, offset + length)
  } catch (error) {
    throw new EngineError('model', `${path} ends before its weights do; download it again.`, { cause: error })
  } finally {
    closeSync(file)
  }
}

function readModel(file: number, size: number, path: string): OnnxGraph {
  const untouched = new Map<NodeProto, Uint8Array>()
  const initializers: Initializer[] = []
  const opsets: OperatorSetIdProto[] = []
  const graphRest: Uint8Array[] = []
  const modelRest: Uint8Array[] = []
  for (const field of fields(file, 0, size)) {
    if (field.id === MODEL.opsetImport) opsets.push(operatorSetIdProto.decode(read(file, field.body, field.end)))
    else if (field.id !== MODEL.graph) modelRest.push(read(file, field.start, field.end))
    else {
      for (const part of fields(file, field.body, field.end)) {
        if (part.id === GRAPH.node) {
          const bytes = read(file, part.body, part.end)
          const node = nodeProto.decode(bytes)
          const constant = outsideConstant(node, path)
          if (constant) initializers.push(constant)
          else untouched.set(node, bytes)
        } else if (part.id === GRAPH.initializer) initializers.push(readInitializer(file, part, path))
        // Shapes of values inside the graph are only hints, and would be wrong after rewriting.
        else if (part.id !== GRAPH.valueInfo) graphRest.push(read(file, part.start, part.end))
      }
    }
  }
  return { nodes: [...untouched.keys()], untouched, initializers, opsets, graphRest, modelRest }
}

function readInitializer(file: number, { body, end }: Field, path: string): Initializer {
  const parts: Uint8Array[] = []
  let place: Place | undefined
  for (const field of fields(file, body, end)) {
    const length = field.end - field.body
    if (field.id === TENSOR.rawData && length > SMALL) place = { path, offset: field.body, length }
    else parts.push(read(file, field.start, field.end))
  }
  const { externalData, dataLocation: _, ...tensor } = tensorProto.decode(Buffer.concat(parts))
  if (externalData && externalData.length > 0) place = externalPlace(externalData, path)
  return { tensor, ...(place && { place }) }
}

/** A constant whose bytes lie beside the file is a weight like any other. */
function outsideConstant({ opType, output, attribute }: NodeProto, path: string): Initializer | undefined {
  if (opType !== 'Constant') return undefined
  const { externalData, dataLocation: _, ...tensor } = attribute.find(({ name }) => name === 'value')?.t ?? {}
  if (!externalData?.length) return undefined
  return { tensor: { ...(tensor as TensorProto), name: output[0]! }, place: externalPlace(externalData, path) }
}

/** ONNX keeps weights of a model anywhere below its folder, and nowhere else. */
function externalPlace(entries: NonNullable<TensorProto['externalData']>, path: string): Place {
  const { location = '', offset = '0', length = '' } = Object.fromEntries(entries.map(({ key, value }) => [key, value]))
  const external = resolve(dirname(path), location)
  const inside = relative(dirname(path), external)
  if (location === '' || inside.startsWith('..') || isAbsolute(inside))
    throw new EngineError(
      'model',
      `${path} points to weights outside its folder; take it from a source that you trust.`,
    )
  if (!existsSync(external))
    throw new EngineError(
      'model',
      `The weights beside ${path} are missing or half-downloaded (${location}); download the model again.`,
    )
  const rest = statSync(external).size - Number(offset)
  return { path: external, offset: Number(offset), length: length === '' ? rest : Number(length) }
}

/** A field's place in the file: `start` is its tag, `body` its content. */
interface Field {
  readonly id: number
  readonly start: number
  readonly body: number
  readonly end: number
}

/** Room for a tag and a length, each a varint of at most ten bytes. */
const HEADER = 20

function* fields(file: number, from: number, to: number): Generator<Field> {
  for (let start = from; start < to; ) {
    const reader = new protobuf.Reader(read(file, start, Math.min(start + HEADER, to)))
    const tag = reader.uint32()
    const length = lengthOf(reader, tag & 7)
    const body = start + reader.pos
    if (body + length > to) throw new Error('the file ends in the middle of a field')
    yield { id: tag >>> 3, start, body, end: body + length }
    start = body + length
  }
}

/** Leaves the reader at the field's content. */
function lengthOf(reader: protobuf.Reader, wireType: number): number {
  switch (wireType) {
    case 0:
      reader.uint64()
      return 0
    case 1:
      return 8
    case 2:
      return Number(reader.uint64())
    case 5:
      return 4
    default:
      throw new Error(`unknown wire type ${wireType}`)
  }
}

function read(file: number, from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from)
  if (readSync(file, bytes, 0, bytes.length, from) < bytes.length)
    throw new Error('the file ends in the middle of a field')
  return bytes
}
