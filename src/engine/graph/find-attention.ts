/** Finds attention in a UNet's graph, softmax(Q·Kᵀ)·V, as every exporter writes it. */

import type { OnnxGraph } from './onnx-file.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'

/** One attention: the names of its inputs and its output, and its nodes. */
export interface Attention {
  /** [.., queries, head size] */
  readonly query: string
  /** [.., head size, keys] */
  readonly keyTransposed: string
  /** What makes them of keys of [.., keys, head size], where that is all it does and nothing else uses them. */
  readonly keyTranspose?: NodeProto
  /** [.., keys, head size] */
  readonly value: string
  readonly output: string
  /** Q·Kᵀ. */
  readonly scoresNode: NodeProto
  /** What happens between the two multiplications, in order, the softmax among it. */
  readonly steps: readonly Step[]
  /** ·V. */
  readonly valueNode: NodeProto
  /** Queries and keys were widened to float32 before Q·Kᵀ (diffusers' `upcast_attention`), values may be narrower. */
  readonly upcast: boolean
  /** Where the heads are split off and joined again by nothing but transposition. */
  readonly heads?: Heads
}

/** Values of [batch, tokens, heads, head size], before the heads come to the front and after they are back. */
export interface Heads {
  readonly count: number
  readonly query: string
  readonly key: string
  readonly value: string
  readonly output: string
  /** The nodes between these values and the attention, which nothing else uses. */
  readonly transposes: readonly NodeProto[]
}

/** A node that takes scores to scores. */
export interface Step {
  readonly node: NodeProto
  /** The input that carries the scores. */
  readonly scores: string
  /** The scalar that `Mul` and `Div` apply. */
  readonly scale?: string
}

export function findAttention(graph: OnnxGraph): Attention[] {
  const surroundings = new Surroundings(graph)
  return graph.nodes
    .filter((node) => node.opType === 'Softmax' && isLastAxis(node))
    .map((softmax) => attentionAround(softmax, surroundings))
    .filter((attention) => attention !== undefined)
}

/** Exporters write −1, or with old opsets the rank − 1; attention's scores have three or four axes. */
function isLastAxis(softmax: NodeProto): boolean {
  const axis = softmax.attribute.find(({ name }) => name === 'axis')?.i ?? -1
  return axis === -1 || axis >= 2
}

function attentionAround(softmax: NodeProto, surroundings: Surroundings): Attention | undefined {
  const above = stepsAbove(softmax, surroundings)
  const below = stepsBelow(softmax, surroundings)
  if (!above || !below) return undefined
  const [query, keyTransposed] = above.scoresNode.input as [string, string]
  const { valueNode } = below
  const keyTranspose = transposeOf(keyTransposed, above.scoresNode, surroundings, swapsLastAxes)
  const attention = {
    query,
    keyTransposed,
    ...(keyTranspose && { keyTranspose }),
    value: valueNode.input[1]!,
    output: valueNode.output[0]!,
    scoresNode: above.scoresNode,
    steps: [...above.steps, { node: softmax, scores: softmax.input[0]! }, ...below.steps],
    valueNode,
    upcast: isCastToFloat(surroundings.producer(query)),
  }
  const heads = headsOf(attention, surroundings)
  return heads ? { ...attention, heads } : attention
}

function headsOf(attention: Attention, surroundings: Surroundings): Heads | undefined {
  const { scoresNode, keyTranspose, valueNode } = attention
  const query = transposeOf(attention.query, scoresNode, surroundings, swapsMiddleAxes)
  const key = keyTranspose && transposeOf(keyTranspose.input[0]!, keyTranspose, surroundings, swapsMiddleAxes)
  const value = transposeOf(attention.value, valueNode, surroundings, swapsMiddleAxes)
  const output = surroundings.onlyConsumer(valueNode)
  if (!query || !key || !value || !output || !swapsMiddleAxes(output)) return undefined
  const [q, k, v] = [query, key, value].map(({ input }) => input[0]!) as [string, string, string]
  const count = surroundings.reshapedTo(q, 2)
  if (count === undefined || count < 1) return undefined
  return { count, query: q, key: k, value: v, output: output.output[0]!, transposes: [query, key, value, output] }
}

/** The node that makes `name`, where it is a transposition of that kind and `user` alone uses it. */
function transposeOf(
  name: string,
  user: NodeProto,
  surroundings: Surroundings,
  isKind: (node: NodeProto) => boolean,
): NodeProto | undefined {
  const node = surroundings.producer(name)
  return node && isKind(node) && surroundings.onlyConsumer(node) === user ? node : undefined
}

/** From the softmax up to Q·Kᵀ; undefined where anything but scaling and casting stands between, such as a mask. */
function stepsAbove(
  softmax: NodeProto,
  surroundings: Surroundings,
): { scoresNode: NodeProto; steps: Step[] } | undefined {
  const steps: Step[] = []
  for (let user = softmax, name = softmax.input[0]!; ; ) {
    const node = surroundings.producer(name)
    if (!node || surroundings.onlyConsumer(node) !== user) return undefined
    if (node.opType === 'MatMul') return { scoresNode: node, steps }
    const step = stepOf(node, surroundings)
    if (!step) return undefined
    steps.unshift(step)
    user = node
    name = step.scores
  }
}

/** From the softmax down to ·V; only a cast may stand between. */
function stepsBelow(
  softmax: NodeProto,
  surroundings: Surroundings,
): { valueNode: NodeProto; steps: Step[] } | undefined {
  const steps: Step[] = []
  for (let node = softmax; ; ) {
    const user = surroundings.onlyConsumer(node)
    const scores = node.output[0]!
    if (user?.opType === 'MatMul' && user.input[0] === scores) return { valueNode: user, steps }
    if (user?.opType !== 'Cast') return undefined
    steps.push({ node: user, scores })
    node = user
  }
}

function stepOf(node: NodeProto, surroundings: Surroundings): Step | undefined {
  const [first, second] = node.input as [string, string]
  switch (node.opType) {
    case 'Cast':
      return { node, scores: first }
    case 'Div':
      return surroundings.isScalar(second) ? { node, scores: first, scale: second } : undefined
    case 'Mul':
      if (surroundings.isScalar(second)) return { node, scores: first, scale: second }
      return surroundings.isScalar(first) ? { node, scores: second, scale: first } : undefined
    case 'Add':
      if (surroundings.isEmptyMatrix(second)) return { node, scores: first }
      return surroundings.isEmptyMatrix(first) ? { node, scores: second } : undefined
    default:
      return undefined
  }
}

function swapsLastAxes(node: NodeProto): boolean {
  const perm = permutation(node)
  const swapped = perm.map((_, i) => (i < perm.length - 2 ? i : 2 * perm.length - 3 - i))
  return perm.length > 0 && perm.every((axis, i) => axis === swapped[i])
}

function swapsMiddleAxes(node: NodeProto): boolean {
  return `${permutation(node)}` === '0,2,1,3'
}

function permutation({ opType, attribute }: NodeProto): readonly number[] {
  return (opType === 'Transpose' && attribute.find(({ name }) => name === 'perm')?.ints) || []
}

export function isCastToFloat(node: NodeProto | undefined): boolean {
  return node?.opType === 'Cast' && node.attribute.find(({ name }) => name === 'to')?.i === DataType.FLOAT
}
