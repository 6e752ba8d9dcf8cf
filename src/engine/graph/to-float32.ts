/** A half-precision graph made to compute in float32, for devices without half precision; its weights stay as they are stored. */

import protobuf from 'protobufjs/light.js'
import { fromFloat16 } from '../float16.ts'
import { int } from './attributes.ts'
import type { GraphSource } from './graph-source.ts'
import { GRAPH, type Initializer, type OnnxGraph } from './onnx-file.ts'
import {
  type AttributeProto,
  DataType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
  valueInfoProto,
} from './onnx-schema.ts'

/** The graph of a half-precision source in float32: its own where it has one, else made from it. */
export function float32Source(source: GraphSource): GraphSource {
  if (source.fp32) return source.fp32
  const { part, path } = source
  return { part, path, read: () => toFloat32(source.read()) }
}

/**
 * Every stored half is widened by a Cast of its own, which ONNX Runtime folds when the session is opened; casts to half
 * become casts to float32, and so do inputs and outputs.
 */
export function toFloat32(graph: OnnxGraph): OnnxGraph {
  const widened = new Map<string, string>()
  const initializers = graph.initializers.map((initializer) => {
    const { tensor } = initializer
    if (tensor.dataType !== DataType.FLOAT16) return initializer
    widened.set(tensor.name!, `${tensor.name}_half`)
    return { ...initializer, tensor: { ...tensor, name: `${tensor.name}_half` } } satisfies Initializer
  })
  const casts = [...widened].map(([name, half]) => cast(half, name))
  const untouched = new Map<NodeProto, Uint8Array>()
  const nodes = graph.nodes.map((node) => {
    const single = inFloat32(node)
    const bytes = graph.untouched.get(node)
    if (single === node && bytes) untouched.set(node, bytes)
    return single
  })
  return {
    ...graph,
    nodes: [...casts, ...nodes],
    untouched,
    initializers,
    graphRest: graph.graphRest.map(fieldInFloat32),
  }
}

function cast(from: string, to: string): NodeProto {
  return { opType: 'Cast', input: [from], output: [to], attribute: [int('to', DataType.FLOAT)] }
}

/** The same object where nothing in it is half precision. */
function inFloat32(node: NodeProto): NodeProto {
  const attribute = node.attribute.map((one) => attributeInFloat32(one))
  return attribute.every((one, i) => one === node.attribute[i]) ? node : { ...node, attribute }
}

/** `to` of Cast, `dtype` of what makes random numbers. */
const TYPES = new Set(['to', 'dtype'])

function attributeInFloat32(attribute: AttributeProto): AttributeProto {
  const { name, i, t, g } = attribute
  if (TYPES.has(name) && i === DataType.FLOAT16) return { ...attribute, i: DataType.FLOAT }
  if (t && t.dataType === DataType.FLOAT16) return { ...attribute, t: tensorInFloat32(t) }
  const inner = g && graphInFloat32(g)
  return inner === g ? attribute : { ...attribute, g: inner! }
}

/** The body of a loop or a branch. */
function graphInFloat32(graph: GraphProto): GraphProto {
  const node = graph.node.map(inFloat32)
  const initializer = graph.initializer.map((tensor) =>
    tensor.dataType === DataType.FLOAT16 ? tensorInFloat32(tensor) : tensor,
  )
  const input = graph.input.map(valueInFloat32)
  const output = graph.output.map(valueInFloat32)
  const before = [...graph.node, ...graph.initializer, ...graph.input, ...graph.output]
  const after = [...node, ...initializer, ...input, ...output]
  return after.every((one, i) => one === before[i]) ? graph : { ...graph, node, initializer, input, output }
}

function tensorInFloat32({ name, dims, rawData, int32Data }: TensorProto): TensorProto {
  const halves = rawData?.length ? new Uint16Array(Uint8Array.from(rawData).buffer) : Uint16Array.from(int32Data ?? [])
  const floats = fromFloat16(halves)
  return { ...(name !== undefined && { name }), dims, dataType: DataType.FLOAT, rawData: new Uint8Array(floats.buffer) }
}

function valueInFloat32(value: ValueInfoProto): ValueInfoProto {
  const tensorType = value.type?.tensorType
  if (tensorType?.elemType !== DataType.FLOAT16) return value
  return { ...value, type: { tensorType: { ...tensorType, elemType: DataType.FLOAT } } }
}

/** A raw field of the graph, its tag included. */
function fieldInFloat32(field: Uint8Array): Uint8Array {
  const reader = protobuf.Reader.create(field)
  const tag = reader.uint32()
  if (tag >>> 3 !== GRAPH.input && tag >>> 3 !== GRAPH.output) return field
  const before = valueInfoProto.decode(reader.bytes())
  const after = valueInFloat32(before)
  return after === before ? field : protobuf.Writer.create().uint32(tag).bytes(valueInfoProto.encode(after)).finish()
}
