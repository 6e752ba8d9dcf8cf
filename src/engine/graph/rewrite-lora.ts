/**
 * Gives a graph's layers low-rank branches, y + up · (down · x), whose matrices are inputs: one session serves any LoRA
 * (Hu et al. 2021, arXiv:2106.09685), several at once side by side along the rank, and none with rank 0.
 *
 * In a step of a UNet of 314 M parameters branches at every layer cost nothing measurable at rank 0, where the result is
 * the plain graph's bit for bit, 1.02 times a step at rank 16 on attention and 1.09 on every layer. Weights summed
 * anew are as fast as the plain graph, but making them means to open the model again, seconds for each change of LoRA.
 */

import { int, ints } from './attributes.ts'
import { findLayers, type GraphLayer } from './find-layers.ts'
import type { Rewrite } from './graph-source.ts'
import { inputField } from './onnx-bytes.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'

/** What a layer's two matrices are called as inputs, float32: `down` [rank, inputs, ...kernel], `up` [outputs, rank, ...]. */
export function loraInputs(layer: string): { down: string; up: string } {
  return { down: `${INPUTS}${layer}.down`, up: `${INPUTS}${layer}.up` }
}

const INPUTS = 'lora.'

export const rewriteLora: Rewrite = {
  inputs: INPUTS,
  apply(graph) {
    const layers = findLayers(graph)
    const inputs: Uint8Array[] = []
    const written = new Map<NodeProto, NodeProto[]>()
    for (const layer of layers) {
      const { down, up } = loraInputs(layer.name)
      // One name for the rank of both: ONNX Runtime checks shapes by it.
      const rank = `rank of ${layer.name}`
      const ones = layer.kernel.map(() => 1)
      inputs.push(inputField(down, DataType.FLOAT, [rank, layer.inputs, ...layer.kernel]))
      inputs.push(inputField(up, DataType.FLOAT, [layer.outputs, rank, ...ones]))
      for (const node of layer.nodes) written.set(node, withBranch(node, layer))
    }
    return {
      ...graph,
      nodes: graph.nodes.flatMap((node) => written.get(node) ?? [node]),
      graphRest: [...graph.graphRest, ...inputs],
    }
  },
}

/** The layer's node and its branch, whose sum has the name that the node's output had. */
function withBranch(node: NodeProto, layer: GraphLayer): NodeProto[] {
  const [x] = node.input as [string]
  const output = node.output[0]!
  const plain = `${output}/plain`
  const nodes: NodeProto[] = [{ ...node, output: [plain] }]
  const add = (opType: string, input: string[], attribute = [] as NodeProto['attribute'], name = '') => {
    const made = name || `${output}/lora.${nodes.length}`
    nodes.push({ opType, input, output: [made], attribute })
    return made
  }
  const { down, up } = loraInputs(layer.name)
  const matrix = (name: string) => (layer.isHalf ? add('Cast', [name], [int('to', DataType.FLOAT16)]) : name)
  if (node.opType === 'Gemm') {
    const low = add('Gemm', [x, matrix(down)], [int('transB', 1)])
    add('Gemm', [low, matrix(up), plain], [int('transB', 1)], output)
  } else if (node.opType === 'MatMul') {
    const turned = (name: string) => add('Transpose', [matrix(name)], [ints('perm', [1, 0])])
    const low = add('MatMul', [x, turned(down)])
    add('Add', [plain, add('MatMul', [low, turned(up)])], [], output)
  } else {
    const low = add('Conv', [x, matrix(down)], node.attribute)
    add('Add', [plain, add('Conv', [low, matrix(up)])], [], output)
  }
  return nodes
}
