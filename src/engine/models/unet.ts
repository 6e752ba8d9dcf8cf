/** The UNet that predicts a step's noise, whatever its export calls and types its inputs. */

import type { Config } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import { rewriteAttention } from '../graph/rewrite-attention.ts'
import type { AttentionForm } from '../graph/write-attention.ts'
import type { Tensor } from '../tensor.ts'
import { LoraBranches } from './lora-branches.ts'
import type { Feeds, OnnxRuntimeModel } from './onnx-runtime-model.ts'

/** What a batch's rows are conditioned on beside their timestep; the same in every step. */
export interface Conditioning {
  /** `[rows, tokens, width]`; with guidance, the negative prompts' rows come first. */
  readonly encoderHiddenStates: Tensor
  /** Guidance-distilled models: `[rows, timeCondProjDim]`. */
  readonly timestepCond?: Tensor
  /** SDXL: `[rows, width]`, the pooled text. */
  readonly textEmbeds?: Tensor
  /** SDXL: `[rows, 6]` (5 with an aesthetic score). */
  readonly timeIds?: Tensor
}

/** What a ControlNet adds to a UNet's skips and to its middle. */
export interface ControlNetResiduals {
  /** `[rows, channels, h, w]` each, in the UNet's order. */
  readonly downBlockResSamples: readonly Tensor[]
  readonly midBlockResSample: Tensor
}

/** What works beside the prompt in a run. */
export interface UNetAdditions {
  readonly residuals?: ControlNetResiduals | undefined
  /** What the branches are fed; nothing for the plain model. */
  readonly lora?: Feeds | undefined
}

export class UNet2DConditionModel {
  readonly model: OnnxRuntimeModel
  readonly branches: LoraBranches
  /** 4, or 9 for inpainting. */
  readonly inChannels: number
  /** Width of the guidance embedding where the model takes its guidance as an input (LCM), else nothing. */
  readonly timeCondProjDim: number | undefined
  /** Latents' height and width that the model was trained at. */
  readonly sampleSize: readonly [height: number, width: number]
  /** Latents' height and width must be multiples of this: the UNet halves them so often. */
  readonly sizeMultiple: number
  /** How attention is computed from the next step on; `original` is as the export has it. */
  attention: AttentionForm | 'original'
  #runningAttention: AttentionForm | 'original'
  readonly #output: string
  readonly #config: Config
  /** @param model As it was exported, or with its attention fused. */
  constructor(model: OnnxRuntimeModel, config: Config, sampleSize: readonly [height: number, width: number]) {
    this.model = model
    this.branches = new LoraBranches(model)
    this.attention = model.hasRewrite('attention') ? 'fused' : 'original'
    this.#runningAttention = this.attention
    const { inputs } = model
    this.inChannels = fixed(inputs.get('sample')?.shape[1]) ?? (numberOf(config.in_channels) || 4)
    this.timeCondProjDim = inputs.has('timestep_cond')
      ? (fixed(inputs.get('timestep_cond')?.shape[1]) ?? (numberOf(config.time_cond_proj_dim) || 256))
      : undefined
    this.sampleSize = sampleSize
    this.sizeMultiple = scaleOf(config)
    this.#config = config
    this.#output = model.outputs.has('out_sample') ? 'out_sample' : [...model.outputs.keys()][0]!
  }

  /**
   * How many numbers `timeIds` has in a row: the embedding's width says how many fit beside the pooled text.
   * @param pooledWidth Of the pooled text.
   */
  timeIdsLength(pooledWidth: number): number {
    const { projection_class_embeddings_input_dim: width, addition_time_embed_dim: each } = this.#config
    const byWidth = numberOf(each) > 0 ? (numberOf(width) - pooledWidth) / numberOf(each) : 6
    return fixed(this.model.inputs.get('time_ids')?.shape[1]) ?? byWidth
  }

  /** Makes `attention` hold now. @throws EngineError 'model' when the graph cannot be rewritten */
  async applyAttention(): Promise<void> {
    const form = this.attention
    if (form === this.#runningAttention) return
    await this.model.setRewrite('attention', form === 'original' ? undefined : rewriteAttention(form))
    this.#runningAttention = form
  }

  /**
   * The prediction, `[rows, latentChannels, h, w]`.
   * @param sample `[rows, inChannels, h, w]`: 4 channels, or 9 for inpainting UNets (latents, mask, masked image's latents).
   * @param timestep One for all rows.
   * @throws EngineError
   */
  async forward(
    sample: Tensor,
    timestep: number,
    conditioning: Conditioning,
    { residuals, lora }: UNetAdditions = {},
  ): Promise<Tensor> {
    const { source, inputs } = this.model
    if (residuals && !inputs.has(MID_RESIDUAL)) await this.model.setSource(withResiduals(source))
    if (!residuals && inputs.has(MID_RESIDUAL)) await this.model.setSource(source.withoutResiduals!)
    if (this.attention !== this.#runningAttention) await this.applyAttention()
    const feeds = {
      ...(lora ?? this.branches.none),
      sample,
      timestep: this.#timestep(timestep, sample.dims[0]!),
      encoder_hidden_states: conditioning.encoderHiddenStates,
      timestep_cond: conditioning.timestepCond,
      text_embeds: conditioning.textEmbeds,
      time_ids: conditioning.timeIds,
      ...(residuals && residualFeeds(residuals)),
    }
    const [prediction] = await this.model.run(feeds, [this.#output])
    return prediction!
  }

  /** Scalar in optimum's exports of today; one a row in diffusers' script's; a lone one ("steps") in optimum's of 2023. */
  #timestep(timestep: number, rows: number): Tensor {
    const shape = this.model.inputs.get('timestep')?.shape ?? []
    if (shape.length === 0) return { data: Float32Array.of(timestep), dims: [] }
    const count = shape[0] === 1 || shape[0] === 'steps' ? 1 : rows
    return { data: new Float32Array(count).fill(timestep), dims: [count] }
  }
}

const MID_RESIDUAL = 'mid_block_additional_residual'

/** @throws EngineError 'model' for a graph that was not written by us. */
export function withResiduals(source: GraphSource): GraphSource {
  if (source.withResiduals) return source.withResiduals
  throw new EngineError(
    'model',
    `${source.path} takes no ControlNet, being an export to ONNX; open the model from PyTorch's weights.`,
  )
}

function residualFeeds({ downBlockResSamples, midBlockResSample }: ControlNetResiduals): Feeds {
  const down = downBlockResSamples.map((sample, i) => [`down_block_additional_residuals.${i}`, sample] as const)
  return { ...Object.fromEntries(down), [MID_RESIDUAL]: midBlockResSample }
}

/** How many times smaller the last level of a UNet or VAE is, by its config: each but the first halves both sides. */
export function scaleOf({ block_out_channels: channels }: Config): number {
  return 2 ** ((Array.isArray(channels) ? channels.length : 4) - 1)
}

/** Latents' height and width by `unet/config.json`. @param fallback The pipeline class's, where it has none. */
export function sampleSizeOf(config: Config, fallback: number): [height: number, width: number] {
  const size = config.sample_size
  if (Array.isArray(size) && size.length === 2) return [Number(size[0]), Number(size[1])]
  const side = numberOf(size) || fallback
  // Early configs of SD 1 said 32 by mistake; diffusers corrects them in the same way.
  return olderThan09(config._diffusers_version) && side < 64 ? [64, 64] : [side, side]
}

function olderThan09(version: unknown): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(typeof version === 'string' ? version : '') ?? []
  return major === '0' && Number(minor) < 9
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

function fixed(dim: number | string | undefined): number | undefined {
  return typeof dim === 'number' && dim > 0 ? dim : undefined
}
