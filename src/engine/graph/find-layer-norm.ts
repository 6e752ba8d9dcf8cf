/** Finds the layer norm that makes a value, as every exporter writes it. */

import type { NodeProto } from './onnx-schema.ts'

/** The names of its values. */
export interface FoundLayerNorm {
  readonly input: string
  /** One of these is the weight, one of those the bias; the others are what it is multiplied with and added to. */
  readonly weights: readonly string[]
  readonly biases: readonly string[]
}

/** One node since opset 17, before that a difference, a quotient, `Mul` and `Add`; undefined for anything else. */
export function findLayerNorm(nodes: readonly NodeProto[], output: string): FoundLayerNorm | undefined {
  const maker = makers(nodes)
  const last = maker(output)
  if (last?.opType === 'LayerNormalization') {
    const [input, weight, bias] = last.input as [string, string, string?]
    return { input, weights: [weight], biases: bias ? [bias] : [] }
  }
  const scaled = last?.opType === 'Add' ? madeBy('Mul', last, maker) : undefined
  const quotient = scaled && madeBy('Div', scaled, maker)
  const difference = quotient && madeBy('Sub', quotient, maker)
  return difference && { input: difference.input[0]!, weights: scaled!.input, biases: last!.input }
}

/** Who makes a value, past what only renames or retypes it. */
export type Maker = (name: string) => NodeProto | undefined

export function makers(nodes: readonly NodeProto[]): Maker {
  const producers = new Map(nodes.flatMap((node) => node.output.map((name) => [name, node])))
  return function maker(name: string): NodeProto | undefined {
    const node = producers.get(name)
    return node && ['Identity', 'Cast'].includes(node.opType) ? maker(node.input[0]!) : node
  }
}

/** The node of that kind among those that make `node`'s inputs. */
function madeBy(opType: string, node: NodeProto, maker: Maker): NodeProto | undefined {
  return node.input.map(maker).find((one) => one?.opType === opType)
}
