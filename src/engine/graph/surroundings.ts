/** Who makes and who uses a graph's values. */

import type { Initializer, OnnxGraph } from './onnx-file.ts'
import type { NodeProto, TensorProto } from './onnx-schema.ts'

export class Surroundings {
  readonly #producers = new Map<string, NodeProto>()
  readonly #consumers = new Map<string, NodeProto[]>()
  readonly #initializers: ReadonlyMap<string, Initializer>

  constructor({ nodes, initializers }: OnnxGraph) {
    this.#initializers = new Map(initializers.map((initializer) => [initializer.tensor.name!, initializer]))
    for (const node of nodes) {
      for (const name of node.output) this.#producers.set(name, node)
      for (const name of node.input) this.#consumers.set(name, [...(this.#consumers.get(name) ?? []), node])
    }
  }

  producer(name: string): NodeProto | undefined {
    return this.#producers.get(name)
  }

  /** The node that makes a value, past what only renames or retypes it. */
  maker(name: string): NodeProto | undefined {
    const node = this.#producers.get(name)
    return isAlias(node) ? this.maker(node.input[0]!) : node
  }

  /**
   * A weight as it is stored, past what only renames or retypes it: exporters store equal ones once, and give the other names
   * by Identity.
   */
  initializer(name: string): Initializer | undefined {
    const alias = this.#producers.get(name)
    return isAlias(alias) ? this.initializer(alias.input[0]!) : this.#initializers.get(name)
  }

  /** Whether a value is an input more than once. */
  isShared(name: string): boolean {
    return (this.#consumers.get(name)?.length ?? 0) > 1
  }

  /** The one node that uses a node's output; undefined when several do. */
  onlyConsumer(node: NodeProto): NodeProto | undefined {
    const consumers = this.#consumers.get(node.output[0]!)
    return consumers?.length === 1 ? consumers[0] : undefined
  }

  /** Whether a value is a constant of one element. */
  isScalar(name: string): boolean {
    return this.#constant(name)?.dims.every((dim) => dim === 1) ?? false
  }

  /** The size of an axis of what a Reshape makes, where it is a constant. */
  reshapedTo(name: string, axis: number): number | undefined {
    const node = this.#producers.get(name)
    if (node?.opType !== 'Reshape') return undefined
    const shape = this.#producers.get(node.input[1]!)
    const parts = shape?.opType === 'Concat' ? shape.input : [node.input[1]!]
    // Every part but constants is a single size.
    return parts.flatMap<number | undefined>((part) => this.#wholeNumbers(part) ?? [undefined])[axis]
  }

  /** `torch.baddbmm` with beta = 0 adds an empty matrix, times zero. */
  isEmptyMatrix(name: string): boolean {
    const node = this.#producers.get(name)
    if (node?.opType !== 'Mul') return node?.opType === 'ConstantOfShape'
    return node.input.some(
      (input) => this.#producers.get(input)?.opType === 'ConstantOfShape' || isZero(this.#constant(input)),
    )
  }

  #wholeNumbers(name: string): readonly number[] | undefined {
    const { int64Data = [], rawData = new Uint8Array() } = this.#constant(name) ?? {}
    if (int64Data.length > 0) return int64Data
    if (rawData.length === 0 || rawData.length % 8 > 0) return undefined
    return Array.from(new BigInt64Array(Uint8Array.from(rawData).buffer), Number)
  }

  #constant(name: string): TensorProto | undefined {
    const node = this.#producers.get(name)
    return node?.opType === 'Constant'
      ? node.attribute.find((attribute) => attribute.name === 'value')?.t
      : this.#initializers.get(name)?.tensor
  }
}

function isAlias(node: NodeProto | undefined): node is NodeProto {
  return node !== undefined && ['Identity', 'Cast'].includes(node.opType)
}

/** A floating-point zero of one element. */
function isZero(tensor: TensorProto | undefined): boolean {
  const { floatData = [], rawData = [] } = tensor ?? {}
  const stored = [...floatData, ...rawData]
  return stored.length > 0 && stored.length <= 8 && stored.every((part) => part === 0)
}
