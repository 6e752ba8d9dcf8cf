/** Writes attention in a cheaper form into a UNet's graph: fused into one operator, or a few heads at a time. */

import { float, int, ints } from './attributes.ts'
import { type Attention, findAttention, type Heads } from './find-attention.ts'
import type { Initializer, OnnxGraph } from './onnx-file.ts'
import { type AttributeProto, AttributeType, DataType, type GraphProto, type NodeProto } from './onnx-schema.ts'

/**
 * `fused`: one `com.microsoft.MultiHeadAttention`, whose kernels never hold the whole score matrix (FlashAttention,
 * arXiv:2205.14135). A number: so many heads at a time, as diffusers' `SlicedAttnProcessor`; `auto`: half of them.
 */
export type AttentionForm = 'fused' | 'auto' | number

/** Rewrites every attention in place; returns how many there were. */
export function writeAttention(graph: OnnxGraph, form: AttentionForm): number {
  const attentions = findAttention(graph)
  const written = new Map<NodeProto, NodeProto[]>()
  attentions.forEach((attention, index) => {
    for (const { node } of attention.steps) written.set(node, [])
    written.set(attention.scoresNode, [])
    const replaced = form === 'fused' ? [attention.keyTranspose, ...(attention.heads?.transposes ?? [])] : []
    for (const node of replaced) if (node) written.set(node, [])
    // All inputs are there where the last node stood.
    written.set(attention.valueNode, form === 'fused' ? fused(attention, index) : sliced(attention, index, form))
  })
  graph.nodes = graph.nodes.flatMap((node) => written.get(node) ?? [node])
  const heads = attentions.flatMap((attention) => attention.heads?.count ?? [])
  graph.initializers.push(...constants(form, heads, namesIn([...written.values()].flat())))
  if (form === 'fused' && !graph.opsets.some(({ domain }) => domain === MICROSOFT)) {
    graph.opsets.push({ domain: MICROSOFT, version: 1 })
  }
  return attentions.length
}

const MICROSOFT = 'com.microsoft'

function fused(attention: Attention, index: number): NodeProto[] {
  const nodes = new Nodes(`fused_attention_${index}`)
  // Scaling the queries instead of the scores is the same and touches far fewer numbers.
  const scaled = (query: string) =>
    attention.steps.reduce(
      (value, { node, scale }) => (scale === undefined ? value : nodes.add(node.opType, [value, scale])),
      query,
    )
  if (attention.heads) return fusedHeads(attention.heads, nodes, scaled)
  const query = scaled(attention.query)
  const { keyTranspose, keyTransposed } = attention
  const key = keyTranspose
    ? nodes.flat(keyTranspose.input[0]!)
    : nodes.add('Transpose', [nodes.flat(keyTransposed)], [ints('perm', [0, 2, 1])])
  const narrowing = narrowingCast(attention)
  const value = nodes.flat(attention.value)
  const attended = nodes.add(
    'MultiHeadAttention',
    [nodes.flat(query), key, narrowing ? nodes.add('Cast', [value], [int('to', DataType.FLOAT)]) : value],
    [int('num_heads', 1), float('scale', 1)],
    MICROSOFT,
  )
  return nodes.finish(narrowing ? nodes.add('Cast', [attended], narrowing.attribute) : attended, attention)
}

/** The operator splits the heads off by itself. */
function fusedHeads(
  { count, query, key, value, output }: Heads,
  nodes: Nodes,
  scaled: (query: string) => string,
): NodeProto[] {
  const joined = (name: string) => nodes.add('Reshape', [name, JOINED])
  const inputs = [joined(scaled(query)), joined(key), joined(value)]
  const attended = nodes.add('MultiHeadAttention', inputs, [int('num_heads', count), float('scale', 1)], MICROSOFT)
  const split = { opType: 'Reshape', input: [attended, splitInto(count)], output: [output], attribute: [] }
  return [...nodes.list, split]
}

/** Where queries and keys were widened, the cast after the softmax that narrows it again for the values. */
function narrowingCast({ upcast, steps }: Attention): NodeProto | undefined {
  const last = steps.at(-1)!.node
  return upcast && last.opType === 'Cast' ? last : undefined
}

function sliced(attention: Attention, index: number, form: AttentionForm): NodeProto[] {
  const nodes = new Nodes(`sliced_attention_${index}`)
  const query = nodes.flat(attention.query)
  const key = nodes.flat(attention.keyTransposed)
  const value = nodes.flat(attention.value)
  const rows = nodes.sizes(query, ZERO, ONE)
  const size = form === 'auto' ? halfOfTheHeads(nodes, attention) : nodes.add('Min', [SLICE, rows])
  const count = nodes.add('Div', [nodes.add('Sub', [nodes.add('Add', [rows, size]), ONE]), size])
  const body = sliceBody(attention, { query, key, value, rows, size }, `${nodes.prefix}_body`)
  const slices = nodes.add('Loop', [count, TRUE], [{ name: 'body', type: AttributeType.GRAPH, g: body }])
  return nodes.finish(withoutOverlap(nodes, nodes.flat(slices), rows, size), attention)
}

/** Where the heads are an axis of their own half of them, else half of all rows' heads. */
function halfOfTheHeads(nodes: Nodes, { query }: Attention): string {
  return nodes.add('Max', [ONE, nodes.add('Div', [nodes.sizes(query, MINUS_THREE, MINUS_TWO), TWO])])
}

/** The last slice begins early where the size does not divide the heads; what it repeats is left out. */
function withoutOverlap(nodes: Nodes, slices: string, rows: string, size: string): string {
  const total = nodes.sizes(slices, ZERO, ONE)
  const lastSlice = nodes.add('Sub', [total, size])
  const fresh = nodes.add('Add', [lastSlice, nodes.add('Sub', [total, rows])])
  return nodes.concat([
    nodes.add('Slice', [slices, ZERO, lastSlice, ZERO]),
    nodes.add('Slice', [slices, fresh, END, ZERO]),
  ])
}

/** One turn of the loop: the very nodes of the attention, on a slice of its rows. */
function sliceBody(
  { scoresNode, steps, valueNode }: Attention,
  { query, key, value, rows, size }: Record<'query' | 'key' | 'value' | 'rows' | 'size', string>,
  prefix: string,
): GraphProto {
  const nodes = new Nodes(prefix)
  const [turn, condition] = [`${prefix}_turn`, `${prefix}_condition`]
  const start = nodes.add('Min', [nodes.add('Mul', [turn, size]), nodes.add('Sub', [rows, size])])
  const end = nodes.add('Add', [start, size])
  const slice = (name: string) => nodes.add('Slice', [name, start, end, ZERO])
  let scores = nodes.add('MatMul', [slice(query), slice(key)], scoresNode.attribute)
  for (const step of steps) {
    if (step.node.opType === 'Add') continue
    const input = step.node.input.map((name) => (name === step.scores ? scores : name))
    scores = nodes.add(step.node.opType, input, step.node.attribute)
  }
  const attended = nodes.add('MatMul', [scores, slice(value)], valueNode.attribute)
  const goOn = nodes.add('Identity', [condition])
  return {
    name: prefix,
    node: nodes.list,
    initializer: [],
    input: [scalar(turn, DataType.INT64), scalar(condition, DataType.BOOL)],
    output: [scalar(goOn, DataType.BOOL), { name: attended }],
  }
}

/** Collects nodes; each value is named after the attention that it belongs to. */
class Nodes {
  readonly list: NodeProto[] = []
  readonly prefix: string

  constructor(prefix: string) {
    this.prefix = prefix
  }

  add(opType: string, input: string[], attribute: AttributeProto[] = [], domain = ''): string {
    const output = `${this.prefix}_${this.list.length}`
    this.list.push({ opType, input, output: [output], name: output, attribute, domain })
    return output
  }

  concat(names: string[]): string {
    return this.add('Concat', names, [int('axis', 0)])
  }

  /** A part of a value's shape. */
  sizes(name: string, from: string, to: string): string {
    return this.add('Slice', [this.add('Shape', [name]), from, to])
  }

  /** Merges all axes but the last two, so that attention of rank 3, 4 and 5 is one case. */
  flat(name: string): string {
    return this.add('Reshape', [name, this.concat([MINUS_ONE, this.sizes(name, MINUS_TWO, END)])])
  }

  /** Gives the merged result the axes and the name that the original has. */
  finish(result: string, { query, value, output }: Attention): NodeProto[] {
    const shape = this.concat([this.sizes(query, ZERO, MINUS_ONE), this.sizes(value, MINUS_ONE, END)])
    return [...this.list, { opType: 'Reshape', input: [result, shape], output: [output], attribute: [] }]
  }
}

function scalar(name: string, elemType: number) {
  return { name, type: { tensorType: { elemType, shape: {} } } }
}

const [ZERO, ONE, TWO] = ['attention_0', 'attention_1', 'attention_2']
const [MINUS_ONE, MINUS_TWO, MINUS_THREE] = ['attention_minus_1', 'attention_minus_2', 'attention_minus_3']
const [END, SLICE, TRUE] = ['attention_end', 'attention_slice', 'attention_true']
/** Shapes, from and to [batch, tokens, heads, head size]. */
const JOINED = 'attention_joined'
const splitInto = (heads: number) => `attention_split_${heads}`

function namesIn(nodes: readonly NodeProto[]): Set<string> {
  const inner = nodes.flatMap(({ attribute }) => attribute.flatMap(({ g }) => g?.node ?? []))
  return new Set([...nodes, ...inner].flatMap(({ input }) => input))
}

/** The constants that the new nodes share: vectors of int64, and a true for the loops. */
function constants(form: AttentionForm, heads: readonly number[], used: ReadonlySet<string>): Initializer[] {
  const values = {
    [ZERO]: 0,
    [ONE]: 1,
    [TWO]: 2,
    [MINUS_ONE]: -1,
    [MINUS_TWO]: -2,
    [MINUS_THREE]: -3,
    [END]: Number.MAX_SAFE_INTEGER,
    [SLICE]: typeof form === 'number' ? form : 1,
    [JOINED]: [0, 0, -1],
    ...Object.fromEntries(heads.map((count) => [splitInto(count), [0, 0, count, -1]])),
  }
  const numbers = Object.entries(values).map(([name, value]) => {
    const int64Data = [value].flat()
    return { tensor: { name, dims: [int64Data.length], dataType: DataType.INT64, int64Data } }
  })
  const condition = { tensor: { name: TRUE, dims: [], dataType: DataType.BOOL, int32Data: [1] } }
  return [...numbers, condition].filter(({ tensor }) => used.has(tensor.name))
}
