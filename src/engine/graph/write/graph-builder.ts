/** Writes an ONNX graph node by node; its weights stay in their files. */

import { EngineError } from '../../errors.ts'
import { toFloat16 } from '../../float16.ts'
import { type StoredTensor, type StoredType, TYPE_WIDTH, type Weights } from '../../weights/stored-tensor.ts'
import { int } from '../attributes.ts'
import { inputField, outputField, type Shape } from '../onnx-bytes.ts'
import type { Initializer, OnnxGraph } from '../onnx-file.ts'
import { type AttributeProto, DataType, type NodeProto } from '../onnx-schema.ts'

/** The first opset that reads the 8-bit floats of newer checkpoints (Cast), and the IR version that belongs to it. */
const OPSET = 19
const IR_VERSION_FIELD = Uint8Array.of(0x08, 9)

export const MICROSOFT = 'com.microsoft'

/** What weights may be made of. */
const WEIGHT_TYPES: Partial<Record<StoredType, number>> = {
  F64: DataType.DOUBLE,
  F32: DataType.FLOAT,
  F16: DataType.FLOAT16,
  BF16: DataType.BFLOAT16,
  F8_E4M3: DataType.FLOAT8E4M3FN,
  F8_E5M2: DataType.FLOAT8E5M2,
}

export interface WriteOptions {
  /**
   * Activations and arithmetic in half precision, for GPUs; weights of other types are cast when the model is opened. Timesteps
   * and sizes stay float32. Checked with ONNX Runtime's CPU provider alone: no GPU that has half precision was at hand.
   */
  readonly half?: boolean
}

interface NodeOptions {
  readonly name?: string
  readonly domain?: string
  /** What its output is called. */
  readonly output?: string
}

/** Values are known by their names. */
export class GraphBuilder {
  /** Of activations: float32, or float16. */
  readonly type: number
  readonly #part: string
  readonly #weights: Weights
  readonly #nodes: NodeProto[] = []
  readonly #initializers = new Map<string, Initializer>()
  readonly #casts = new Map<string, string>()
  readonly #inputs: Uint8Array[] = []
  readonly #outputs: Uint8Array[] = []
  #values = 0

  /** @param part As errors name it: 'UNet', 'VAE' … */
  constructor(part: string, weights: Weights, { half = false }: WriteOptions) {
    this.#part = part
    this.#weights = weights
    this.type = half ? DataType.FLOAT16 : DataType.FLOAT
  }

  input(name: string, shape: Shape, type: number = this.type): string {
    this.#inputs.push(inputField(name, type, shape))
    return name
  }

  /** Gives a value out under a name of its own. */
  output(name: string, value: string, shape: Shape, type: number = this.type): void {
    this.op('Identity', [value], [], { output: name })
    this.declareOutput(name, shape, type)
  }

  /** Gives a value out under the name that it has. */
  declareOutput(value: string, shape: Shape, type: number = this.type): void {
    this.#outputs.push(outputField(value, type, shape))
  }

  /** Adds a node. @param inputs An empty name leaves an optional input out. @returns Its output. */
  op(opType: string, inputs: readonly string[], attribute: AttributeProto[] = [], options: NodeOptions = {}): string {
    const output = options.output ?? this.#fresh(opType)
    this.#add(opType, inputs, [output], attribute, options)
    return output
  }

  /** Cuts a value in two along its last axis. */
  halves(value: string, width: number): [string, string] {
    const outputs: [string, string] = [this.#fresh('Split'), this.#fresh('Split')]
    this.#add('Split', [value, this.ints(width, width)], outputs, [int('axis', -1)], {})
    return outputs
  }

  cast(value: string, to: number): string {
    return this.op('Cast', [value], [int('to', to)])
  }

  /** A vector of int64. */
  ints(...values: number[]): string {
    const tensor = { name: `int64[${values}]`, dims: [values.length], dataType: DataType.INT64, int64Data: values }
    return this.#constant(tensor.name, { tensor })
  }

  /** A number of int64 or bool, without axes. */
  whole(value: number, dataType: number = DataType.INT64): string {
    const data = dataType === DataType.INT64 ? { int64Data: [value] } : { int32Data: [value] }
    const tensor = { name: `${dataType}(${value})`, dims: [], dataType, ...data }
    return this.#constant(tensor.name, { tensor })
  }

  /** A number of the activations' type, without axes. */
  scalar(value: number): string {
    return this.#floats(`(${value})`, [value], [], this.type)
  }

  /** A vector of one number over and over, of the activations' type. */
  filled(value: number, length: number): string {
    return this.#floats(`[${value}]*${length}`, Array(length).fill(value), [length], this.type)
  }

  /** Numbers of float32, whatever the activations are. */
  floats(name: string, values: readonly number[], dims: readonly number[]): string {
    return this.#floats(name, values, dims, DataType.FLOAT)
  }

  /**
   * A weight in the activations' type.
   * @param shape As the configuration has it; axes of one at its end do not matter, since the bytes are the same.
   * @param dims How the graph sees it.
   * @throws EngineError 'model' where it is missing, of another shape, or made of whole numbers
   */
  weight(name: string, shape: readonly number[], dims: readonly number[] = shape): string {
    const stored = this.#find(name, shape)
    if (stored.transposed) throw this.#wrong(name, 'is stored with its axes swapped, which only matrices may be')
    return this.#inType(this.#place(name, stored, dims), stored)
  }

  /**
   * The weight of a linear layer, [outputs, inputs].
   * @returns `transB` for Gemm: the file may hold it with its axes swapped.
   */
  matrix(name: string, outputs: number, inputs: number): { value: string; transB: 0 | 1 } {
    const stored = this.#find(name, [outputs, inputs])
    const dims = stored.transposed ? [inputs, outputs] : [outputs, inputs]
    return { value: this.#inType(this.#place(name, stored, dims), stored), transB: stored.transposed ? 0 : 1 }
  }

  /** Rows of a table, [rows, width]; those that are looked up become the activations' type, not the whole table. */
  embedding(name: string, rows: number, width: number, indices: string): string {
    const stored = this.#find(name, [rows, width])
    const placed = this.#place(name, stored, [rows, width])
    // Gather knows no 8-bit floats; of other types the few rows are cast, and not the whole table.
    const table = TYPE_WIDTH[stored.dtype] === 1 ? this.#inType(placed, stored) : placed
    const found = this.op('Gather', [table, indices], [int('axis', 0)])
    return table !== placed || this.#typeOf(name, stored) === this.type ? found : this.cast(found, this.type)
  }

  finish(): OnnxGraph {
    return {
      nodes: this.#nodes,
      untouched: new Map(),
      initializers: [...this.#initializers.values()],
      opsets: [
        { domain: '', version: OPSET },
        { domain: MICROSOFT, version: 1 },
      ],
      graphRest: [...this.#inputs, ...this.#outputs],
      modelRest: [IR_VERSION_FIELD],
    }
  }

  #add(
    opType: string,
    input: readonly string[],
    output: string[],
    attribute: AttributeProto[],
    { name, domain }: NodeOptions,
  ): void {
    const node = { opType, input: [...input], output, name: name ?? output[0]!, attribute }
    this.#nodes.push(domain === undefined ? node : { ...node, domain })
  }

  #fresh(opType: string): string {
    return `${opType}_${this.#values++}`
  }

  #constant(name: string, initializer: Initializer): string {
    if (!this.#initializers.has(name)) this.#initializers.set(name, initializer)
    return name
  }

  #floats(label: string, values: readonly number[], dims: readonly number[], dataType: number): string {
    const name = `${dataType}${label}`
    const numbers = Float32Array.from(values)
    const data = dataType === DataType.FLOAT16 ? toFloat16(numbers, new Uint16Array(numbers.length)) : numbers
    const rawData = new Uint8Array(data.buffer)
    return this.#constant(name, { tensor: { name, dims: [...dims], dataType, rawData } })
  }

  #place(name: string, stored: StoredTensor, dims: readonly number[]): string {
    const { path, offset, length } = stored
    const tensor = { name, dims: [...dims], dataType: this.#typeOf(name, stored) }
    return this.#constant(name, { tensor, place: { path, offset, length } })
  }

  #inType(name: string, stored: StoredTensor): string {
    if (this.#typeOf(name, stored) === this.type) return name
    const cast = this.#casts.get(name) ?? this.cast(name, this.type)
    this.#casts.set(name, cast)
    return cast
  }

  #typeOf(name: string, { dtype }: StoredTensor): number {
    const type = WEIGHT_TYPES[dtype]
    if (type === undefined) throw this.#wrong(name, `is stored as ${dtype}, which no weight of such a model is`)
    return type
  }

  #find(name: string, shape: readonly number[]): StoredTensor {
    const stored = this.#weights.get(name)
    if (!stored)
      throw new EngineError(
        'model',
        `The ${this.#part} lacks the weight "${name}"; download the model again, or take the config.json that belongs to it.`,
      )
    if (`${squeezed(stored.shape)}` !== `${squeezed(shape)}`)
      throw this.#wrong(name, `is [${stored.shape.join(', ')}] where config.json asks for [${shape.join(', ')}]`)
    return stored
  }

  #wrong(name: string, how: string): EngineError {
    return new EngineError(
      'model',
      `The ${this.#part}'s weight "${name}" ${how}; take a file and a config.json that belong together.`,
    )
  }
}

/** Without the axes of one at the end: a 1×1 convolution and a linear layer hold the same numbers. */
function squeezed(shape: readonly number[]): readonly number[] {
  const end = shape.findLastIndex((size) => size !== 1)
  return shape.slice(0, end + 1)
}
