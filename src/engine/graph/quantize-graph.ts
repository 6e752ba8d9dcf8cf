/** Linears and convolutions of a graph in eight-bit whole numbers: weights per output, activations by their range in each run. */

import { EngineError } from '../errors.ts'
import { int, ints } from './attributes.ts'
import { computesInHalf, findWeighted, type WeightedNode, type Window } from './find-weighted.ts'
import type { Initializer, OnnxGraph, Place } from './onnx-file.ts'
import { type AttributeProto, DataType, type NodeProto } from './onnx-schema.ts'
import { depthOf, type WeightSign } from './quantize-weights.ts'
import { toFloat32 } from './to-float32.ts'
import { withoutUnused } from './unused.ts'

/** The first with DynamicQuantizeLinear. */
const LEAST_OPSET = 11

const MICROSOFT = 'com.microsoft'

/** Smaller matrices cost more to quantise than they save. */
const LEAST_SIDE = 64

/**
 * Left as they are: what the time step becomes shifts every pixel alike, and the first and the last convolution see the picture
 * itself. Together they are a few percent of the weights.
 */
const LEFT = /time_emb|conv_in|conv_out/

/** Where a node's name tells its module, only those of the UNet's blocks are taken; exporters of 2022 named none. */
function isTaken({ node, weight }: WeightedNode): boolean {
  const names = [node.name ?? '', weight.initializer.tensor.name ?? '']
  const isOutside = /[./]/.test(names[0]!) && !/_blocks?[./]/.test(names[0]!)
  return !isOutside && !names.some((name) => LEFT.test(name))
}

/** A place for a quantised weight: bytes in a file, or in memory. */
export interface StoredQuantized {
  readonly values: Stored
  /** float32, one an output. */
  readonly scales: Stored
}

export type Stored = { readonly place: Place } | { readonly bytes: Uint8Array }

/** What there is to quantise, in the graph that it is to be written into. */
export interface Quantizable {
  readonly graph: OnnxGraph
  readonly weighted: readonly WeightedNode[]
}

/**
 * @param graph Half precision is widened first: activations are quantised from float32 alone.
 * @throws EngineError 'model' for an opset that is too old
 */
export function findQuantizable(graph: OnnxGraph, path: string): Quantizable {
  const opset = graph.opsets.find(({ domain }) => !domain)?.version ?? 0
  if (opset < LEAST_OPSET)
    throw new EngineError(
      'model',
      `${path} uses opset ${opset}; export it again with opset ${LEAST_OPSET} or newer to run it in int8.`,
    )
  const found = findWeighted(graph)
  const single = computesInHalf(found, graph) ? toFloat32(graph) : graph
  const weighted = (single === graph ? found : findWeighted(single)).filter(
    (one) => Math.min(one.inputs, one.outputs) >= LEAST_SIDE && isTaken(one),
  )
  return { graph: single, weighted }
}

/**
 * Writes DynamicQuantizeLinear and `com.microsoft` MatMulIntegerToFloat in place of each node. The range is that of a whole
 * value, so rows of a batch would depend on each other: such a graph is to be run a row at a time.
 * @param stored One for each of `weighted`.
 */
export function writeQuantized(
  { graph, weighted }: Quantizable,
  stored: readonly StoredQuantized[],
  sign: WeightSign,
): OnnxGraph {
  const writer = new QuantizedWriter(sign)
  const written = new Map(weighted.map((one, i) => [one.node, { one, stored: stored[i]! }]))
  const nodes = graph.nodes.flatMap((node) => {
    const found = written.get(node)
    return found ? writer.write(found.one, found.stored) : [node]
  })
  const opsets = graph.opsets.some(({ domain }) => domain === MICROSOFT)
    ? graph.opsets
    : [...graph.opsets, { domain: MICROSOFT, version: 1 }]
  return withoutUnused({ ...graph, nodes, opsets, initializers: [...graph.initializers, ...writer.initializers()] })
}

/** Activations as eight bits. */
interface Activation {
  readonly values: string
  readonly scale: string
  readonly zero: string
}

/** What several nodes take is quantised, and moved into a convolution's columns, once. */
class QuantizedWriter {
  readonly #weightType: number
  readonly #weightZero: number
  readonly #initializers = new Map<string, Initializer>()
  readonly #activations = new Map<string, Activation>()
  readonly #columns = new Map<string, string>()
  #nodes: NodeProto[] = []
  #count = 0

  constructor(sign: WeightSign) {
    this.#weightType = sign === 'signed' ? DataType.INT8 : DataType.UINT8
    this.#weightZero = sign === 'signed' ? 0 : 128
  }

  initializers(): Initializer[] {
    return [...this.#initializers.values()]
  }

  write(weighted: WeightedNode, stored: StoredQuantized): NodeProto[] {
    this.#nodes = []
    const { node, input, window } = weighted
    const [output] = node.output as [string]
    const activation = this.#activation(input)
    if (!window) this.#product(weighted, stored, activation, activation.values, output)
    else {
      const product = this.#product(weighted, stored, activation, this.#windowed(activation, window))
      this.#add('Transpose', [product], [ints('perm', [0, 3, 1, 2])], { output })
    }
    return this.#nodes
  }

  #activation(input: string): Activation {
    const known = this.#activations.get(input)
    if (known) return known
    const prefix = `int8_${this.#count++}`
    const activation = { values: `${prefix}_values`, scale: `${prefix}_scale`, zero: `${prefix}_zero` }
    this.#nodes.push({
      opType: 'DynamicQuantizeLinear',
      input: [input],
      output: Object.values(activation),
      attribute: [],
    })
    this.#activations.set(input, activation)
    return activation
  }

  /** The window's positions side by side behind the height and width: `[rows, height, width, taps · channels]`. */
  #windowed({ values, zero }: Activation, { size, strides, pads }: Window): string {
    const key = JSON.stringify([values, size, strides, pads])
    const known = this.#columns.get(key)
    if (known !== undefined) return known
    let last = this.#once(`${values} in rows`, () => this.#add('Transpose', [values], [ints('perm', [0, 2, 3, 1])]))
    const [top, left, bottom, right] = pads
    if (pads.some((pad) => pad > 0))
      last = this.#add('Pad', [last, this.#numbers([0, top, left, 0, 0, bottom, right, 0]), zero])
    const [height, width] = size
    const isWhole = height === 1 && width === 1 && strides.every((stride) => stride === 1)
    const taps = [...Array(height * width).keys()].map((tap) => [Math.floor(tap / width), tap % width] as const)
    const columns = isWhole ? last : this.#concat(taps.map(([y, x]) => this.#slice(last, [y, x], size, strides)))
    this.#columns.set(key, columns)
    return columns
  }

  /** What one position of the window sees. */
  #slice(values: string, [y, x]: readonly [number, number], size: Window['size'], strides: Window['strides']): string {
    // Counted from the end, since the size is known only when it runs.
    const end = [y - size[0] + 1, x - size[1] + 1].map((from) => (from === 0 ? Number.MAX_SAFE_INTEGER : from))
    const bounds = [[y, x], end, [1, 2], strides].map((numbers) => this.#numbers(numbers))
    return this.#add('Slice', [values, ...bounds])
  }

  #concat(names: string[]): string {
    return names.length === 1 ? names[0]! : this.#add('Concat', names, [int('axis', 3)])
  }

  #product(
    weighted: WeightedNode,
    { values, scales }: StoredQuantized,
    { scale, zero }: Activation,
    left: string,
    output?: string,
  ): string {
    const { node, outputs, bias } = weighted
    const name = node.output[0]!
    const input = [
      left,
      this.#stored(`${name}_int8`, this.#weightType, [depthOf(weighted), outputs], values),
      scale,
      this.#stored(`${name}_int8_scale`, DataType.FLOAT, [outputs], scales),
      zero,
      this.#zeros(outputs),
      ...(bias === undefined ? [] : [bias]),
    ]
    return this.#add('MatMulIntegerToFloat', input, [], { output, domain: MICROSOFT, name: node.name })
  }

  #add(
    opType: string,
    input: string[],
    attribute: AttributeProto[] = [],
    options: { output?: string | undefined; domain?: string; name?: string | undefined } = {},
  ): string {
    const fresh = `int8_${this.#count++}`
    const { output = fresh, domain = '', name = fresh } = options
    this.#nodes.push({ opType, input, output: [output], name, attribute, domain })
    return output
  }

  #once(key: string, add: () => string): string {
    const known = this.#columns.get(key)
    if (known !== undefined) return known
    const name = add()
    this.#columns.set(key, name)
    return name
  }

  #stored(name: string, dataType: number, dims: number[], stored: Stored): string {
    this.#initializers.set(name, { tensor: { name, dims, dataType }, ...stored })
    return name
  }

  #numbers(values: readonly number[]): string {
    const name = `int8_numbers_${values.join('_')}`
    const tensor = { name, dims: [values.length], dataType: DataType.INT64, int64Data: [...values] }
    this.#initializers.set(name, { tensor })
    return name
  }

  #zeros(count: number): string {
    const name = `int8_zeros_${count}`
    const rawData = new Uint8Array(count).fill(this.#weightZero)
    this.#initializers.set(name, { tensor: { name, dims: [count], dataType: this.#weightType, rawData } })
    return name
  }
}
