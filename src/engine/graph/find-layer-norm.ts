/** Finds the layer norm that makes a value, as every exporter writes it. */

import type { NodeProto } from './onnx-schema.ts'
import type { Surroundings } from './surroundings.ts'

/** The names of its values. */
export interface FoundLayerNorm {
  readonly input: string
  /** One of these is the weight, one of those the bias; the others are what it is multiplied with and added to. */
  readonly weights: readonly string[]
  readonly biases: readonly string[]
}

/** One node since opset 17, before that a difference, a quotient, `Mul` and `Add`; undefined for anything else. */
export function findLayerNorm(surroundings: Surroundings, output: string): FoundLayerNorm | undefined {
  const last = surroundings.maker(output)
  if (last?.opType === 'LayerNormalization') {
    const [input, weight, bias] = last.input as [string, string, string?]
    return { input, weights: [weight], biases: bias ? [bias] : [] }
  }
  // The node of that kind among those that make a node's inputs.
  const madeBy = (opType: string, node: NodeProto) =>
    node.input.map((name) => surroundings.maker(name)).find((one) => one?.opType === opType)
  const scaled = last?.opType === 'Add' ? madeBy('Mul', last) : undefined
  const quotient = scaled && madeBy('Div', scaled)
  const difference = quotient && madeBy('Sub', quotient)
  return difference && { input: difference.input[0]!, weights: scaled!.input, biases: last!.input }
}
