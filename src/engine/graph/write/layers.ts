/** torch's and diffusers' layers as ONNX nodes. Nodes of linear layers and convolutions are called what torch calls the module. */

import { float, int, ints, string } from '../attributes.ts'
import { DataType } from '../onnx-schema.ts'
import { type GraphBuilder, MICROSOFT } from './graph-builder.ts'

export interface ConvShape {
  readonly inputs: number
  readonly outputs: number
  /** 3, where it is left out. */
  readonly kernel?: number
  readonly stride?: number
  /** [top, left, bottom, right]; as much as keeps the size at stride 1, where it is left out. */
  readonly pads?: readonly [number, number, number, number]
  readonly bias?: boolean
}

export interface AttentionShape {
  readonly heads: number
  /** Of all heads together. */
  readonly width: number
  /** Queries and keys are multiplied in float32 whatever the activations are. */
  readonly upcast?: boolean
  /** What is added to the scores, [.., queries, keys]. */
  readonly mask?: string
}

/**
 * Tokens are [batch, tokens, width] where they are added and normed, and flat, [batch · tokens, width], between: a linear
 * layer is one Gemm then, which ONNX Runtime opens without a copy of [outputs, inputs] weights.
 */
export class Layers {
  readonly graph: GraphBuilder
  /** The batch size, int64 of one element. */
  readonly #batch: string
  readonly #shapes = new Map<string, string>()

  /** @param input Any input of the graph, its first axis the batch. */
  constructor(graph: GraphBuilder, input: string) {
    this.graph = graph
    this.#batch = graph.op('Shape', [input], [int('start', 0), int('end', 1)])
  }

  get batch(): string {
    return this.#batch
  }

  add(a: string, b: string): string {
    return this.graph.op('Add', [a, b])
  }

  mul(a: string, b: string): string {
    return this.graph.op('Mul', [a, b])
  }

  /** Side by side in their channels. */
  join(a: string, b: string): string {
    return this.graph.op('Concat', [a, b], [int('axis', 1)])
  }

  /** torch's Linear. @param x [rows, inputs] */
  linear(x: string, name: string, inputs: number, outputs: number, bias = true): string {
    const { value, transB } = this.graph.matrix(`${name}.weight`, outputs, inputs)
    const added = bias ? [this.graph.weight(`${name}.bias`, [outputs])] : []
    return this.graph.op('Gemm', [x, value, ...added], [int('transB', transB)], { name })
  }

  conv(x: string, name: string, { inputs, outputs, kernel = 3, stride = 1, pads, bias = true }: ConvShape): string {
    const pad = (kernel - 1) >> 1
    const weight = this.graph.weight(`${name}.weight`, [outputs, inputs, kernel, kernel])
    const added = bias ? [this.graph.weight(`${name}.bias`, [outputs])] : []
    const attributes = [
      ints('kernel_shape', [kernel, kernel]),
      ints('strides', [stride, stride]),
      ints('pads', pads ?? [pad, pad, pad, pad]),
    ]
    return this.graph.op('Conv', [x, weight, ...added], attributes, { name })
  }

  /**
   * As torch's own export has it: the groups are the channels of an InstanceNormalization, which every provider has.
   * GroupNormalization is not in CUDA's table, and no faster on the CPU.
   */
  groupNorm(x: string, name: string, channels: number, groups: number, epsilon: number): string {
    const { graph } = this
    const grouped = graph.op('Reshape', [x, graph.ints(0, groups, -1)])
    const unit = [graph.filled(1, groups), graph.filled(0, groups)]
    const normed = graph.op('InstanceNormalization', [grouped, ...unit], [float('epsilon', epsilon)])
    const shaped = graph.op('Reshape', [normed, graph.op('Shape', [x])])
    const scaled = this.mul(shaped, graph.weight(`${name}.weight`, [channels], [channels, 1, 1]))
    return this.add(scaled, graph.weight(`${name}.bias`, [channels], [channels, 1, 1]))
  }

  /** Over the last axis. */
  layerNorm(x: string, name: string, width: number, epsilon: number): string {
    const weights = ['weight', 'bias'].map((part) => this.graph.weight(`${name}.${part}`, [width]))
    return this.graph.op('LayerNormalization', [x, ...weights], [int('axis', -1), float('epsilon', epsilon)])
  }

  /** ONNX Runtime makes one operator of these two. */
  silu(x: string): string {
    return this.mul(x, this.graph.op('Sigmoid', [x]))
  }

  /** By the error function, as torch's default. */
  gelu(x: string): string {
    return this.graph.op('Gelu', [x], [], { domain: MICROSOFT })
  }

  /** CLIP's first activation: x · sigmoid(1.702 x). */
  quickGelu(x: string): string {
    return this.mul(x, this.graph.op('Sigmoid', [this.mul(x, this.graph.scalar(1.702))]))
  }

  /** [batch, tokens, width] to [batch · tokens, width]. */
  flat(x: string, width: number): string {
    return this.graph.op('Reshape', [x, this.graph.ints(-1, width)])
  }

  /** [batch · tokens, width] to [batch, tokens, width]. */
  tokens(x: string, width: number): string {
    return this.graph.op('Reshape', [x, this.#batchThen(-1, width)])
  }

  /** Pixels as tokens: [batch, channels, height, width] to [batch, height · width, channels]. */
  pixelsToTokens(x: string): string {
    const rows = this.graph.op('Reshape', [x, this.graph.ints(0, 0, -1)])
    return this.graph.op('Transpose', [rows], [ints('perm', [0, 2, 1])])
  }

  /** And back. @param like A value of the shape that is wanted. */
  tokensToPixels(x: string, like: string): string {
    const rows = this.graph.op('Transpose', [x], [ints('perm', [0, 2, 1])])
    return this.graph.op('Reshape', [rows, this.graph.op('Shape', [like])])
  }

  /**
   * softmax(Q·Kᵀ/√d)·V, written out: `findAttention` finds it, and the attention rewrites put it in cheaper forms.
   * @param query [batch · queries, width]
   * @param key [batch · keys, width]
   * @returns [batch · queries, width]
   */
  attention(query: string, key: string, value: string, shape: AttentionShape): string {
    const { graph } = this
    const { heads, width, mask } = shape
    const upcast = shape.upcast === true && graph.type !== DataType.FLOAT
    const split = (x: string) =>
      graph.op('Transpose', [graph.op('Reshape', [x, this.#batchThen(-1, heads, width / heads)])], [BY_HEADS])
    const widened = (x: string) => (upcast ? graph.cast(x, DataType.FLOAT) : x)
    const transposed = graph.op('Transpose', [widened(split(key))], [ints('perm', [0, 1, 3, 2])])
    const scale = (width / heads) ** -0.5
    // Queries are fewer than scores, and half precision might overflow in unscaled ones.
    const scores = upcast
      ? this.mul(graph.op('MatMul', [widened(split(query)), transposed]), graph.floats(`(${scale})`, [scale], []))
      : graph.op('MatMul', [split(this.mul(query, graph.scalar(scale))), transposed])
    const masked = mask === undefined ? scores : this.add(scores, mask)
    const weights = graph.op('Softmax', [masked], [int('axis', -1)])
    const narrowed = upcast ? graph.cast(weights, graph.type) : weights
    const attended = graph.op('MatMul', [narrowed, split(value)])
    return this.flat(graph.op('Transpose', [attended], [BY_HEADS]), width)
  }

  /** Twice the size, pixels repeated; with `like`, to that value's height and width. */
  upsample(x: string, like?: string): string {
    const { graph } = this
    const attributes = [
      string('mode', 'nearest'),
      string('nearest_mode', 'floor'),
      string('coordinate_transformation_mode', 'asymmetric'),
    ]
    if (like === undefined) return graph.op('Resize', [x, '', graph.floats('[1,1,2,2]', [1, 1, 2, 2], [4])], attributes)
    const before = graph.op('Shape', [x], [int('start', 0), int('end', 2)])
    const after = graph.op('Shape', [like], [int('start', 2), int('end', 4)])
    return graph.op('Resize', [x, '', '', graph.op('Concat', [before, after], [int('axis', 0)])], attributes)
  }

  #batchThen(...sizes: number[]): string {
    const key = `${sizes}`
    const known = this.#shapes.get(key)
    if (known !== undefined) return known
    const shape = this.graph.op('Concat', [this.#batch, this.graph.ints(...sizes)], [int('axis', 0)])
    this.#shapes.set(key, shape)
    return shape
  }
}

/** [batch, tokens, heads, ..] to [batch, heads, tokens, ..], and back. */
const BY_HEADS = ints('perm', [0, 2, 1, 3])
