/** One model's low-rank branches: opened when a LoRA first needs them, then fed with whichever a run names. */

import type { Device } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { findLayers, type GraphLayer } from '../graph/find-layers.ts'
import { loraInputs, rewriteLora } from '../graph/rewrite-lora.ts'
import type { Tensor } from '../tensor.ts'
import type { LowRank } from '../weights/lora.ts'
import type { Feeds, OnnxRuntimeModel } from './onnx-runtime-model.ts'

/** A LoRA's matrices by layer, and how much of it is wanted. */
export interface WeightedLora {
  readonly matrices: ReadonlyMap<string, LowRank>
  readonly weight: number
}

/** What the branches of each part of a pipeline are fed; those of other parts are fed nothing. */
export interface LoraFeeds {
  /** Of the text encoders: the same where they are fed the same. */
  readonly textKey: string
  readonly byPart: ReadonlyMap<string, Feeds>
}

export class LoraBranches {
  readonly #model: OnnxRuntimeModel
  #layers: readonly GraphLayer[] | undefined
  #none: { readonly device: Device; readonly feeds: Feeds } | undefined

  constructor(model: OnnxRuntimeModel) {
    this.#model = model
  }

  /** @throws EngineError 'model' where the graph does not tell them. */
  get layers(): readonly GraphLayer[] {
    this.#layers ??= findLayers(this.#model.source.read())
    if (this.#layers.length > 0) return this.#layers
    throw new EngineError(
      'model',
      `${this.#model.source.path} does not tell which layers it has, so no LoRA can be used with it; open the model from PyTorch's weights, or export it anew with optimum.`,
    )
  }

  /** Opens the model with its branches, once. @throws EngineError */
  async enable(): Promise<void> {
    if (this.layers.length > 0) await this.#model.setRewrite('lora', rewriteLora)
  }

  /** What a run without LoRAs is fed: nothing, until there are branches. */
  get none(): Feeds {
    if (!this.#model.hasRewrite('lora')) return {}
    const { device } = this.#model
    if (this.#none?.device !== device) this.#none = { device, feeds: this.feeds([]) }
    return this.#none.feeds
  }

  /** The branches' inputs with these LoRAs side by side, each layer's ranks added up. */
  feeds(loras: readonly WeightedLora[]): Feeds {
    const feeds: Record<string, Tensor> = {}
    for (const layer of this.layers) {
      const wanted = loras.flatMap(({ matrices, weight }) => {
        const own = matrices.get(layer.name)
        return own && weight !== 0 ? [{ ...own, factor: own.scale * weight }] : []
      })
      const { down, up } = loraInputs(layer.name)
      // WebGPU fails on tensors without elements, and other providers may: there a branch of zeros adds nothing.
      const least = this.#model.device === 'cpu' ? 0 : 1
      const matrices = sideBySide(layer, wanted, least)
      feeds[down] = matrices.down
      feeds[up] = matrices.up
    }
    return feeds
  }
}

function sideBySide(
  { inputs, outputs, kernel }: GraphLayer,
  parts: readonly (LowRank & { factor: number })[],
  least: number,
): { down: Tensor; up: Tensor } {
  const rank = Math.max(
    least,
    parts.reduce((sum, part) => sum + part.rank, 0),
  )
  const row = kernel.reduce((size, side) => size * side, inputs)
  const down = parts.length === 1 ? parts[0]!.down : new Float32Array(rank * row)
  const up = new Float32Array(outputs * rank)
  let from = 0
  for (const part of parts) {
    if (parts.length > 1) down.set(part.down, from * row)
    for (let output = 0; output < outputs; output++)
      for (let r = 0; r < part.rank; r++) up[output * rank + from + r] = part.factor * part.up[output * part.rank + r]!
    from += part.rank
  }
  return {
    down: { data: down, dims: [rank, inputs, ...kernel] },
    up: { data: up, dims: [outputs, rank, ...kernel.map(() => 1)] },
  }
}
