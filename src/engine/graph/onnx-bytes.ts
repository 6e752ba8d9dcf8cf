/** A graph as the bytes that ONNX Runtime opens; large weights stay in their files, and are pointed to as ONNX external data. */

import { realpathSync } from 'node:fs'
import { dirname, relative, sep } from 'node:path'
import protobuf from 'protobufjs/light.js'
import { bytesAt, GRAPH, type Initializer, MODEL, type OnnxGraph } from './onnx-file.ts'
import {
  nodeProto,
  operatorSetIdProto,
  type TensorProto,
  tensorProto,
  type ValueInfoProto,
  valueInfoProto,
} from './onnx-schema.ts'

export interface EncodedGraph {
  readonly bytes: Uint8Array
  /**
   * What the locations of weights are relative to, a folder above all of them, for the session option
   * `model_external_initializers_file_folder_path`; absent where no weight lies in a file.
   */
  readonly folder?: string
  /** The files that weights lie in, links resolved. */
  readonly files: readonly string[]
  /**
   * Weights that lie in memory, for the session option `externalData`: all or none, since ONNX Runtime looks for nothing in
   * files then.
   */
  readonly memory: readonly { readonly path: string; readonly data: Uint8Array }[]
}

/**
 * Links are resolved, since ONNX Runtime refuses those that lead out of the folder: the hub's cache keeps every file behind
 * one.
 */
export function encodeOnnx(graph: OnnxGraph): EncodedGraph {
  const initializers = togetherInMemory(graph.initializers)
  const real = new Map<string, string>()
  for (const { place } of initializers)
    if (place && !real.has(place.path)) real.set(place.path, realpathSync(place.path))
  const files = [...new Set(real.values())]
  const folder = commonFolder(files)
  const inner = protobuf.Writer.create()
  for (const node of graph.nodes)
    inner.uint32(tag(GRAPH.node)).bytes(graph.untouched.get(node) ?? nodeProto.encode(node))
  for (const initializer of initializers)
    inner.uint32(tag(GRAPH.initializer)).bytes(tensorProto.encode(pointed(initializer, real, folder)))
  const body = Buffer.concat([...graph.graphRest, inner.finish()])
  const outer = protobuf.Writer.create()
  for (const opset of graph.opsets) outer.uint32(tag(MODEL.opsetImport)).bytes(operatorSetIdProto.encode(opset))
  outer.uint32(tag(MODEL.graph)).bytes(body)
  const bytes = Buffer.concat([...graph.modelRest, outer.finish()])
  const memory = initializers.flatMap(({ tensor, bytes }) => (bytes ? [{ path: inMemory(tensor), data: bytes }] : []))
  return { bytes, files, memory, ...(folder !== undefined && { folder }) }
}

function togetherInMemory(initializers: readonly Initializer[]): readonly Initializer[] {
  if (!initializers.some(({ bytes }) => bytes)) return initializers
  return initializers.map(({ tensor, place, bytes }) =>
    place && !bytes ? { tensor, bytes: bytesAt(place) } : { tensor, ...(bytes && { bytes }) },
  )
}

/** A name that no file has. */
function inMemory({ name }: TensorProto): string {
  return `memory:${name}`
}

/** A number, or the name of one that is known when the graph runs. */
export type Shape = readonly (number | string)[]

/** One more input of a graph, for `graphRest`. @param elemType Of `DataType`. */
export function inputField(name: string, elemType: number, shape: Shape): Uint8Array {
  return valueField(GRAPH.input, typed(name, elemType, shape))
}

/** One more output of a graph, for `graphRest`; without a type and a shape ONNX Runtime finds them out. */
export function outputField(name: string, elemType?: number, shape: Shape = []): Uint8Array {
  return valueField(GRAPH.output, elemType === undefined ? { name } : typed(name, elemType, shape))
}

function typed(name: string, elemType: number, shape: Shape): ValueInfoProto {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { name, type: { tensorType: { elemType, shape: { dim } } } }
}

function valueField(id: number, value: ValueInfoProto): Uint8Array {
  return protobuf.Writer.create().uint32(tag(id)).bytes(valueInfoProto.encode(value)).finish()
}

function pointed(
  { tensor, place, bytes }: Initializer,
  real: ReadonlyMap<string, string>,
  folder: string | undefined,
): TensorProto {
  if (bytes) return external(tensor, inMemory(tensor), 0, bytes.length)
  if (!place || folder === undefined) return tensor
  return external(tensor, relative(folder, real.get(place.path)!).split(sep).join('/'), place.offset, place.length)
}

function external(tensor: TensorProto, location: string, offset: number, length: number): TensorProto {
  const entries = Object.entries({ location, offset, length })
  return { ...tensor, dataLocation: 1, externalData: entries.map(([key, value]) => ({ key, value: String(value) })) }
}

/** The deepest folder that all files lie in. */
function commonFolder(files: readonly string[]): string | undefined {
  let folder = files[0] === undefined ? undefined : dirname(files[0])
  for (const file of files)
    while (folder !== undefined && folder !== dirname(folder) && !file.startsWith(withSeparator(folder)))
      folder = dirname(folder)
  return folder
}

function withSeparator(folder: string): string {
  return folder.endsWith(sep) ? folder : `${folder}${sep}`
}

/** A field that is prefixed with its length. */
function tag(id: number): number {
  return (id << 3) | 2
}
