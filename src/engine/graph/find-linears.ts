/** Finds a graph's linear layers and convolutions by the names that torch gives their modules, as every exporter writes them. */

import type { OnnxGraph } from './onnx-file.ts'
import type { NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'

/** One linear layer or convolution, with values by their names. */
export interface Linear {
  readonly kind: 'linear' | 'conv'
  /** `Gemm` or `MatMul`, and `Conv`. */
  readonly node: NodeProto
  readonly input: string
  /** The initializer, in whatever type it is stored; the node may see it cast. */
  readonly weight: string
  /** Whether the initializer is [inputs, outputs], as of `MatMul`; else it is [outputs, inputs, …]. */
  readonly isTransposed: boolean
  /** The initializer; nothing where the layer has none. */
  readonly bias?: string
  /** Adds the bias, where that is a node of its own. */
  readonly biasNode?: NodeProto
  /** What the layer gives, its bias added. */
  readonly output: string
}

/** By the module's name: `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`. */
export function findLinears(graph: OnnxGraph): Map<string, Linear> {
  const surroundings = new Surroundings(graph)
  const linears = new Map<string, Linear>()
  for (const node of graph.nodes) {
    const linear = linearOf(node, surroundings)
    if (linear) linears.set(moduleName(node), linear)
  }
  return linears
}

/** Exporters write `/down_blocks.0/attentions.0/…/attn1/to_q/MatMul` where the graphs of this program have the name itself. */
function moduleName({ name = '', opType }: NodeProto): string {
  if (!name.startsWith('/')) return name
  const end = name.lastIndexOf('/')
  const path = name.slice(end + 1).startsWith(opType) ? name.slice(1, end) : name.slice(1)
  return path.replaceAll('/', '.')
}

function linearOf(node: NodeProto, surroundings: Surroundings): Linear | undefined {
  const [input, second, third] = node.input
  if (input === undefined || second === undefined) return undefined
  switch (node.opType) {
    case 'Conv':
    case 'Gemm': {
      const weight = storedAs(second, surroundings)
      if (!weight || integer(node, 'transA') === 1) return undefined
      const bias = third === undefined || third === '' ? undefined : storedAs(third, surroundings)
      const isConv = node.opType === 'Conv'
      return {
        kind: isConv ? 'conv' : 'linear',
        node,
        input,
        weight: weight.name,
        isTransposed: !isConv && (integer(node, 'transB') === 1) === weight.isSwapped,
        ...(bias && { bias: bias.name }),
        output: node.output[0]!,
      }
    }
    case 'MatMul': {
      const weight = storedAs(second, surroundings)
      if (!weight) return undefined
      const layer = { kind: 'linear', node, input, weight: weight.name, isTransposed: !weight.isSwapped } as const
      return { ...layer, output: node.output[0]!, ...addedBias(node, surroundings) }
    }
    default:
      return undefined
  }
}

/** Behind a `MatMul`, where it is the bias: a vector that is stored. */
function addedBias(
  node: NodeProto,
  surroundings: Surroundings,
): Pick<Linear, 'bias' | 'biasNode' | 'output'> | undefined {
  const add = surroundings.onlyConsumer(node)
  if (add?.opType !== 'Add') return undefined
  const other = add.input.find((name) => name !== node.output[0])
  const bias = other === undefined ? undefined : storedAs(other, surroundings)
  if (bias?.rank !== 1) return undefined
  return { bias: bias.name, biasNode: add, output: add.output[0]! }
}

/** The initializer behind a value, past what only renames it, retypes it or swaps its axes. */
function storedAs(
  value: string,
  surroundings: Surroundings,
): { name: string; rank: number; isSwapped: boolean } | undefined {
  const stored = surroundings.initializer(value)
  if (stored) return { name: stored.tensor.name!, rank: stored.tensor.dims.length, isSwapped: false }
  const node = surroundings.maker(value)
  const inner = node?.opType === 'Transpose' ? storedAs(node.input[0]!, surroundings) : undefined
  return inner?.rank === 2 ? { ...inner, isSwapped: !inner.isSwapped } : undefined
}

function integer({ attribute }: NodeProto, name: string): number {
  return attribute.find((one) => one.name === name)?.i ?? 0
}
