/** What a UNet's or a ControlNet's config.json says, as diffusers' UNet2DConditionModel understands it. */

import { type ConfigReader, isCount, isFlag } from './config.ts'

/** One level of the UNet. */
export interface Level {
  readonly channels: number
  /** Of the way down; the way up has one more. */
  readonly resnets: number
  readonly heads: number
  readonly contextWidth: number
  readonly onlyCrossAttention: boolean
}

/** The transformer blocks behind each resnet of a block; nothing where it has no attention. */
export type TransformerLayers = readonly number[] | undefined

export interface UNetConfig {
  readonly levels: readonly Level[]
  readonly down: readonly TransformerLayers[]
  /** Nothing for a UNet without a middle. */
  readonly mid: { readonly transformerLayers: TransformerLayers } | undefined
  readonly groups: number
  readonly epsilon: number
  readonly linearProjection: boolean
  readonly upcastAttention: boolean
  readonly inChannels: number
  readonly time: TimeConfig
}

export interface TimeConfig {
  readonly inputWidth: number
  readonly width: number
  readonly flipSinToCos: boolean
  readonly freqShift: number
  /** The width of the guidance's embedding, in models that take their guidance as an input. */
  readonly condProjDim: number | undefined
  /** SDXL's pooled text and sizes; `inputWidth` is theirs together. */
  readonly textTime: { readonly inputWidth: number; readonly timeWidth: number } | undefined
}

const CHANNELS = [320, 640, 1280, 1280]
const DOWN_BLOCKS = ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'] as const
const MID_BLOCKS = ['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D'] as const

/** @throws EngineError 'model' where it asks for what Seedling cannot write. */
export function readUNetConfig(config: ConfigReader): UNetConfig {
  requireKnown(config)
  const channels = config.counts('block_out_channels', CHANNELS)
  const levels = readLevels(config, channels)
  const types = config.names('down_block_types', DOWN_BLOCKS, channels.length, ['DownBlock2D', 'CrossAttnDownBlock2D'])
  const transformers = config.raw('transformer_layers_per_block') ?? 1
  return {
    levels,
    down: types.map((type, i) =>
      type === 'DownBlock2D'
        ? undefined
        : transformerLayers(config, 'transformer_layers_per_block', transformers, i, levels[i]!.resnets),
    ),
    mid: readMid(config, transformers, channels.length - 1),
    groups: config.count('norm_num_groups', 32),
    epsilon: config.number('norm_eps', 1e-5),
    linearProjection: config.flag('use_linear_projection', false),
    upcastAttention: config.flag('upcast_attention', false),
    inChannels: config.count('in_channels', 4),
    time: readTime(config, channels[0]!),
  }
}

/** Of one block: the configuration has one number for all, one a block, or one for each resnet of a block. */
export function transformerLayers(
  config: ConfigReader,
  key: string,
  value: unknown,
  block: number,
  resnets: number,
): readonly number[] {
  const own: unknown = Array.isArray(value) ? value[block] : value
  const layers: unknown[] = Array.isArray(own) ? own : Array(resnets).fill(own)
  if (layers.length >= resnets && layers.every((count) => count === 0 || isCount(count)))
    return layers.slice(0, resnets) as number[]
  throw config.wrong(key, 'a number, or one for each block,')
}

/** What diffusers' class knows and no Stable Diffusion uses. */
function requireKnown(config: ConfigReader): void {
  config.require('act_fn', 'silu', 'swish')
  config.require('resnet_time_scale_shift', 'default')
  config.require('time_embedding_type', 'positional')
  config.require('attention_type', 'default')
  config.require('addition_embed_type', null, 'text_time')
  config.require('downsample_padding', 1)
  for (const key of ['mid_block_scale_factor', 'resnet_out_scale_factor']) config.require(key, 1)
  for (const key of ['center_input_sample', 'dual_cross_attention', 'resnet_skip_time_act', 'class_embeddings_concat'])
    config.require(key, false)
  for (const key of [
    'class_embed_type',
    'num_class_embeds',
    'encoder_hid_dim',
    'encoder_hid_dim_type',
    'time_embedding_act_fn',
    'timestep_post_act',
    'cross_attention_norm',
  ])
    config.require(key, null)
}

function readLevels(config: ConfigReader, channels: readonly number[]): Level[] {
  const { length } = channels
  const resnets = config.perBlock('layers_per_block', 2, length, isCount)
  // diffusers calls the number of heads `attention_head_dim` (its issue 2011).
  const headsKey = config.has('num_attention_heads') ? 'num_attention_heads' : 'attention_head_dim'
  const heads = config.perBlock(headsKey, 8, length, isCount)
  const contextWidths = config.perBlock('cross_attention_dim', 1280, length, isCount)
  const onlyCross = config.perBlock('only_cross_attention', false, length, isFlag)
  return channels.map((width, i) => {
    if (width % heads[i]! !== 0) throw config.wrong(headsKey, `a divisor of ${width}`)
    return {
      channels: width,
      resnets: resnets[i]!,
      heads: heads[i]!,
      contextWidth: contextWidths[i]!,
      onlyCrossAttention: onlyCross[i]!,
    }
  })
}

function readMid(config: ConfigReader, transformers: unknown, last: number): UNetConfig['mid'] {
  // Here alone null says something: a configuration without the key has the class's default.
  if (config.isNull('mid_block_type')) return undefined
  const type = config.require('mid_block_type', ...MID_BLOCKS)
  if (type === 'UNetMidBlock2D') return { transformerLayers: undefined }
  return { transformerLayers: transformerLayers(config, 'transformer_layers_per_block', transformers, last, 1) }
}

function readTime(config: ConfigReader, inputWidth: number): TimeConfig {
  if (inputWidth % 2 === 1) throw config.wrong('block_out_channels', 'an even number at the beginning')
  const textTime = config.has('addition_embed_type') && {
    inputWidth: config.count('projection_class_embeddings_input_dim'),
    timeWidth: config.count('addition_time_embed_dim'),
  }
  return {
    inputWidth,
    width: config.count('time_embedding_dim', 4 * inputWidth),
    flipSinToCos: config.flag('flip_sin_to_cos', true),
    freqShift: config.number('freq_shift', 0),
    condProjDim: config.has('time_cond_proj_dim') ? config.count('time_cond_proj_dim') : undefined,
    textTime: textTime || undefined,
  }
}
