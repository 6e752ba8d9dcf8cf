/** An ONNX file with its nodes read and everything else left where it lies: weights of gigabytes are never parsed. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import protobuf from 'protobufjs/light.js'
import { EngineError } from '../errors.ts'
import {
  type NodeProto,
  nodeProto,
  type OperatorSetIdProto,
  operatorSetIdProto,
  type TensorProto,
  tensorProto,
  valueInfoProto,
} from './onnx-schema.ts'

/** A weight in the file; `data` is where its raw bytes lie, when they are inside and large. */
export interface Initializer {
  readonly tensor: TensorProto
  readonly data?: { readonly offset: number; readonly length: number }
}

/** A graph's outline. `rest` fields are raw, tags included, and are written back as they are. */
export interface OnnxGraph {
  nodes: NodeProto[]
  /** Nodes as they stand in the file: an untouched one is written back with all that its schema here leaves out. */
  readonly untouched: ReadonlyMap<NodeProto, Uint8Array>
  initializers: Initializer[]
  opsets: OperatorSetIdProto[]
  readonly graphRest: readonly Uint8Array[]
  readonly modelRest: readonly Uint8Array[]
}

const MODEL = { graph: 7, opsetImport: 8 }
const GRAPH = { node: 1, initializer: 5, output: 12, valueInfo: 13 }
const TENSOR = { rawData: 9 }

/** Raw data up to this many bytes is read: constants that the rewriting must know. */
const SMALL = 1024

/** Reads the outline, in milliseconds whatever the size. @throws EngineError `model` when the file is no ONNX model or was cut off */
export function readOnnx(path: string): OnnxGraph {
  const file = openSync(path, 'r')
  try {
    return readModel(file, fstatSync(file).size)
  } catch (error) {
    if (error instanceof EngineError) throw error
    throw new EngineError('model', `${path} is not a complete ONNX model; download it again.`, { cause: error })
  } finally {
    closeSync(file)
  }
}

function readModel(file: number, size: number): OnnxGraph {
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
          untouched.set(nodeProto.decode(bytes), bytes)
        } else if (part.id === GRAPH.initializer) initializers.push(readInitializer(file, part))
        // Shapes of values inside the graph are only hints, and would be wrong after rewriting.
        else if (part.id !== GRAPH.valueInfo) graphRest.push(read(file, part.start, part.end))
      }
    }
  }
  return { nodes: [...untouched.keys()], untouched, initializers, opsets, graphRest, modelRest }
}

function readInitializer(file: number, { body, end }: Field): Initializer {
  const parts: Uint8Array[] = []
  let data: Initializer['data']
  for (const field of fields(file, body, end)) {
    const length = field.end - field.body
    if (field.id === TENSOR.rawData && length > SMALL) data = { offset: field.body, length }
    else parts.push(read(file, field.start, field.end))
  }
  return { tensor: tensorProto.decode(Buffer.concat(parts)), ...(data && { data }) }
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

/**
 * The model as bytes again. Weights that lay inside the original are pointed to there, as ONNX external data, so the
 * result is small and must be written into the original's folder; `weights` is the original's file name.
 */
export function writeOnnx(graph: OnnxGraph, weights: string): Buffer {
  const inner = protobuf.Writer.create()
  for (const node of graph.nodes)
    inner.uint32(tag(GRAPH.node)).bytes(graph.untouched.get(node) ?? nodeProto.encode(node))
  for (const { tensor, data } of graph.initializers) {
    const pointed = data ? { ...tensor, dataLocation: 1, externalData: pointer(weights, data) } : tensor
    inner.uint32(tag(GRAPH.initializer)).bytes(tensorProto.encode(pointed))
  }
  const body = Buffer.concat([...graph.graphRest, inner.finish()])
  const outer = protobuf.Writer.create()
  for (const opset of graph.opsets) outer.uint32(tag(MODEL.opsetImport)).bytes(operatorSetIdProto.encode(opset))
  outer.uint32(tag(MODEL.graph)).bytes(body)
  return Buffer.concat([...graph.modelRest, outer.finish()])
}

/** One more output of a graph, for `graphRest`; ONNX Runtime finds out its type and shape. */
export function outputField(name: string): Uint8Array {
  return protobuf.Writer.create().uint32(tag(GRAPH.output)).bytes(valueInfoProto.encode({ name })).finish()
}

function pointer(location: string, { offset, length }: { offset: number; length: number }) {
  return Object.entries({ location, offset, length }).map(([key, value]) => ({ key, value: String(value) }))
}

function tag(id: number): number {
  return (id << 3) | 2
}
