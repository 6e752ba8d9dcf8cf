/** Finds a graph's linear layers and convolutions, and what torch calls them, whoever wrote the graph. */

import type { OnnxGraph } from './onnx-file.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'

export interface Layer {
  /** The module as torch has it: `down_blocks.1.attentions.0.proj_in`. */
  readonly name: string
  /** Those that use its weight: a module that was traced twice stands there twice. */
  readonly nodes: readonly NodeProto[]
  readonly inputs: number
  readonly outputs: number
  /** A convolution's, [height, width]; a linear layer has none. */
  readonly kernel: readonly number[]
  /** Whether it computes in half precision. */
  readonly isHalf: boolean
}

/** In the graph's order. Layers that nothing names, and convolutions in groups, are left out. */
export function findLayers(graph: OnnxGraph): Layer[] {
  const surroundings = new Surroundings(graph)
  const found = new Map<string, Layer>()
  for (const node of graph.nodes) {
    const weight = weightOf(node, surroundings)
    const shape = weight && shapeOf(node, weight)
    const name = weight && moduleName(node, weight.name)
    if (!shape || name === undefined) continue
    const known = found.get(weight.name)
    // Traced again, torch's exporter counts the module up: its first name is the shortest.
    found.set(weight.name, known ? { ...known, nodes: [...known.nodes, node] } : { name, nodes: [node], ...shape })
  }
  return [...found.values()]
}

interface Weight {
  readonly name: string
  readonly dims: readonly number[]
  readonly type: number
}

/** The weight of a node, past what turns, retypes or renames it. */
function weightOf({ opType, input }: NodeProto, surroundings: Surroundings): Weight | undefined {
  if (!['Gemm', 'MatMul', 'Conv'].includes(opType)) return undefined
  let isTurned = false
  let type: number | undefined
  for (let name = input[1]!; ; ) {
    const initializer = surroundings.initializer(name)
    if (initializer) {
      const { tensor } = initializer
      const dims = isTurned ? [...tensor.dims].reverse() : tensor.dims
      return { name: tensor.name!, dims, type: type ?? tensor.dataType }
    }
    const maker = surroundings.producer(name)
    if (maker?.opType === 'Cast') type ??= integerOf(maker, 'to', DataType.FLOAT)
    else if (maker?.opType === 'Transpose') isTurned = !isTurned
    else return undefined
    name = maker.input[0]!
  }
}

function shapeOf(node: NodeProto, { dims, type }: Weight): Omit<Layer, 'name' | 'nodes'> | undefined {
  const isHalf = type === DataType.FLOAT16
  if (node.opType === 'Conv') {
    const [outputs, inputs, ...kernel] = dims as [number, number, ...number[]]
    if (kernel.length !== 2 || integerOf(node, 'group', 1) !== 1) return undefined
    return { outputs, inputs, kernel, isHalf }
  }
  if (dims.length !== 2 || integerOf(node, 'transA', 0) !== 0) return undefined
  const [inputs, outputs] = (integerOf(node, 'transB', 0) === 1 ? [...dims].reverse() : dims) as [number, number]
  return { outputs, inputs, kernel: [], isHalf }
}

/**
 * By the weight's name, which torch's exporter takes from linear layers without a bias (`onnx::MatMul_707`); then by the
 * node's, a path through the modules (`/mid_block/attentions.0/proj_in/Conv`). Exports of before 2022 have neither.
 */
function moduleName({ name = '' }: NodeProto, weight: string): string | undefined {
  if (weight.endsWith('.weight')) return weight.slice(0, -'.weight'.length)
  const path = name.split('/')
  return path[0] === '' && path.length > 2 ? path.slice(1, -1).join('.') : undefined
}

function integerOf({ attribute }: NodeProto, name: string, fallback: number): number {
  return attribute.find((one) => one.name === name)?.i ?? fallback
}
