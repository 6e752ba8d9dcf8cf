/** Finds a graph's linears and convolutions and their weights, as every exporter and our own writer have them. */

import type { OnnxGraph } from './onnx-file.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'
import { isReadable, type StoredWeight } from './weight-values.ts'

/** A product with a constant matrix: a linear layer, or a convolution as one matrix over its window. */
export interface WeightedNode {
  readonly node: NodeProto
  /** The value that is multiplied: `[.., inputs]`, of a convolution `[rows, channels, height, width]`. */
  readonly input: string
  /** One number an output; added after the product. */
  readonly bias?: string
  readonly weight: StoredWeight
  readonly outputs: number
  /** Of a convolution the channels. */
  readonly inputs: number
  /** Whether the weight is `[outputs, inputs, ..]`, as torch has it, or `[inputs, outputs]`. */
  readonly outputsFirst: boolean
  /** The window of a convolution. */
  readonly window?: Window
}

/** `[y, x]`; `pads` as ONNX has them: `[top, left, bottom, right]`. */
export interface Window {
  readonly size: readonly [number, number]
  readonly strides: readonly [number, number]
  readonly pads: readonly [number, number, number, number]
}

/** In the order of the graph; nodes with another form (grouped, dilated, three axes …) are left out. */
export function findWeighted(graph: OnnxGraph): WeightedNode[] {
  const surroundings = new Surroundings(graph)
  return graph.nodes.flatMap((node) => {
    const weight = node.input[1] === undefined ? undefined : weightBehind(node.input[1], surroundings)
    return weight === undefined ? [] : (weightedNode(node, weight, surroundings) ?? [])
  })
}

/** A weight past the cast and the scale that stand behind one that is stored in a smaller type. */
function weightBehind(name: string, surroundings: Surroundings): StoredWeight | undefined {
  const maker = surroundings.producer(name)
  if (maker?.opType === 'Cast') return weightBehind(maker.input[0]!, surroundings)
  if (maker?.opType === 'Mul') return scaledWeight(maker, surroundings)
  const initializer = surroundings.initializer(name)
  return initializer && isReadable(initializer) ? { initializer } : undefined
}

function scaledWeight({ input }: NodeProto, surroundings: Surroundings): StoredWeight | undefined {
  const [weight, scale] = input.map((name) => weightBehind(name, surroundings)?.initializer)
  if (!weight || !scale) return undefined
  const { dims } = weight.tensor
  const factors = scale.tensor.dims.map(Number)
  const axis = factors.findIndex((size) => size > 1)
  const isAlongOne = factors.length === dims.length && factors.every((size, i) => i === axis || size === 1)
  return isAlongOne && factors[axis] === Number(dims[axis])
    ? { initializer: weight, scale: { initializer: scale, axis } }
    : undefined
}

function weightedNode(node: NodeProto, weight: StoredWeight, surroundings: Surroundings): WeightedNode | undefined {
  const dims = weight.initializer.tensor.dims.map(Number)
  const [input, , bias] = node.input as [string, string, string?]
  const parts = { node, input, weight, ...(bias && { bias }) }
  const isMatrix = dims.length === 2
  if (node.opType === 'MatMul' && isMatrix)
    return { ...parts, inputs: dims[0]!, outputs: dims[1]!, outputsFirst: false }
  if (node.opType === 'Gemm' && isMatrix && isPlainGemm(node)) {
    const outputsFirst = attribute(node, 'transB')?.i === 1
    const [inputs, outputs] = outputsFirst ? [dims[1]!, dims[0]!] : [dims[0]!, dims[1]!]
    // Any other would be spread over the result.
    if (bias && weightBehind(bias, surroundings)?.initializer.tensor.dims.length !== 1) return undefined
    return { ...parts, inputs, outputs, outputsFirst }
  }
  if (node.opType !== 'Conv' || dims.length !== 4 || !isPlainConv(node)) return undefined
  const [outputs, inputs, height, width] = dims as [number, number, number, number]
  return {
    ...parts,
    inputs,
    outputs,
    outputsFirst: true,
    window: {
      size: [height, width],
      strides: (attribute(node, 'strides')?.ints ?? [1, 1]) as [number, number],
      pads: (attribute(node, 'pads')?.ints ?? [0, 0, 0, 0]) as [number, number, number, number],
    },
  }
}

function isPlainGemm(node: NodeProto): boolean {
  const factor = (name: string) => attribute(node, name)?.f ?? 1
  return factor('alpha') === 1 && factor('beta') === 1 && (attribute(node, 'transA')?.i ?? 0) === 0
}

function isPlainConv(node: NodeProto): boolean {
  const dilations = attribute(node, 'dilations')?.ints ?? []
  const autoPad = attribute(node, 'auto_pad')
  return (
    (attribute(node, 'group')?.i ?? 1) === 1 &&
    dilations.every((dilation) => dilation === 1) &&
    (!autoPad || Buffer.from(autoPad.s ?? []).toString() === 'NOTSET')
  )
}

function attribute(node: NodeProto, wanted: string) {
  return node.attribute.find(({ name }) => name === wanted)
}

/** Whether the graph itself computes in half precision, and does not merely store its weights so. */
export function computesInHalf(weighted: readonly WeightedNode[], graph: OnnxGraph): boolean {
  const halves = new Set(
    graph.initializers.flatMap(({ tensor }) => (tensor.dataType === DataType.FLOAT16 ? [tensor.name!] : [])),
  )
  return weighted.some(({ node }) => halves.has(node.input[1]!))
}
