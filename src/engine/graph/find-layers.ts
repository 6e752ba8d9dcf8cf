/** A graph's linear layers and convolutions with what torch calls them and their sizes, whoever wrote the graph. */

import type { Layer } from '../weights/lora.ts'
import { findLinears, type Linear } from './find-linears.ts'
import type { OnnxGraph } from './onnx-file.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'

export interface GraphLayer extends Layer {
  /** Those that use its weight: a module that was traced twice stands there twice. */
  readonly nodes: readonly NodeProto[]
  /** Whether it computes in half precision. */
  readonly isHalf: boolean
}

/** In the graph's order. Layers that nothing names, and convolutions in groups, are left out. */
export function findLayers(graph: OnnxGraph): GraphLayer[] {
  const surroundings = new Surroundings(graph)
  const found = new Map<string, GraphLayer>()
  for (const [module, linear] of findLinears(graph)) {
    const name = nameOf(module, linear)
    const shape = shapeOf(linear, surroundings.initializer(linear.weight)!.tensor.dims)
    if (name === undefined || !shape) continue
    const isHalf = surroundings.weightType(linear.node.input[1]!) === DataType.FLOAT16
    const known = found.get(linear.weight)
    // Traced again, torch's exporter counts the module up: its first name counts.
    const layer = known
      ? { ...known, nodes: [...known.nodes, linear.node] }
      : { name, nodes: [linear.node], ...shape, isHalf }
    found.set(linear.weight, layer)
  }
  return [...found.values()]
}

/** By the weight's name, where torch's exporter has left it (not `onnx::MatMul_707`); by the node's, where that is a path. */
function nameOf(module: string, { weight }: Linear): string | undefined {
  if (weight.endsWith('.weight')) return weight.slice(0, -'.weight'.length)
  // Exports of before 2022 call nodes `MatMul_12`.
  return module.includes('.') ? module : undefined
}

function shapeOf(
  { kind, node, isTransposed }: Linear,
  dims: readonly number[],
): Pick<Layer, 'inputs' | 'outputs' | 'kernel'> | undefined {
  const [first = 0, second = 0, ...kernel] = dims
  const groups = node.attribute.find(({ name }) => name === 'group')?.i ?? 1
  if (kernel.length !== (kind === 'conv' ? 2 : 0) || groups !== 1) return undefined
  return isTransposed ? { inputs: first, outputs: second, kernel } : { inputs: second, outputs: first, kernel }
}
