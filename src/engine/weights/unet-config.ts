/** The `config.json` of a UNet or a ControlNet as its weights' shapes have it: files in the original layout carry none. */

import type { Config } from '../config-file.ts'
import { Shapes } from './shapes.ts'
import type { Weights } from './stored-tensor.ts'

/** Attention of Stable Diffusion 1, whose projections are convolutions, has 8 heads at every width. */
const HEADS = 8

/** That of all later ones, whose projections are linears, has heads of this width. */
const HEAD_WIDTH = 64

/** Sinusoids of each of SDXL's time ids. */
const TIME_ID_WIDTH = 256

/**
 * @param weights By diffusers' names.
 * @returns diffusers' keys; `sample_size` is not among them, as no shape depends on it.
 */
export function unetConfig(weights: Weights): Config {
  const shapes = new Shapes(weights)
  const up = blocks(shapes, 'up_blocks')
  return {
    ...bothConfig(shapes),
    _class_name: 'UNet2DConditionModel',
    out_channels: shapes.size('conv_out.weight', 0),
    up_block_types: up.map(({ attends }) => (attends ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    ...upDepths(shapes, up),
    time_cond_proj_dim: shapes.shape('time_embedding.cond_proj.weight')?.[1] ?? null,
  }
}

/** @param weights By diffusers' names. */
export function controlNetConfig(weights: Weights): Config {
  const shapes = new Shapes(weights)
  const hint = 'controlnet_cond_embedding'
  const widened = Array.from({ length: shapes.count(`${hint}.blocks`) / 2 }, (_, i) =>
    shapes.size(`${hint}.blocks.${2 * i + 1}.weight`, 0),
  )
  return {
    ...bothConfig(shapes),
    _class_name: 'ControlNetModel',
    conditioning_channels: shapes.size(`${hint}.conv_in.weight`, 1),
    conditioning_embedding_out_channels: [shapes.size(`${hint}.conv_in.weight`, 0), ...widened],
    controlnet_conditioning_channel_order: 'rgb',
  }
}

/** What the two have in common: everything down to the middle. */
function bothConfig(shapes: Shapes): Config {
  const down = blocks(shapes, 'down_blocks')
  const channels = down.map((_, i) => shapes.size(`down_blocks.${i}.resnets.0.conv1.weight`, 0))
  const isLinear = shapes.shape(`${firstAttention(down)}.proj_in.weight`)?.length === 2
  const isXL = shapes.has('add_embedding.linear_1')
  return {
    in_channels: shapes.size('conv_in.weight', 1),
    block_out_channels: channels,
    layers_per_block: collapsed(down.map(({ resnets }) => resnets)),
    down_block_types: down.map(({ attends }) => (attends ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    mid_block_type: midBlockType(shapes),
    cross_attention_dim: shapes.size(`${firstAttention(down)}.transformer_blocks.0.attn2.to_k.weight`, 1),
    attention_head_dim: isLinear ? channels.map((width) => Math.max(1, Math.floor(width / HEAD_WIDTH))) : HEADS,
    use_linear_projection: isLinear,
    transformer_layers_per_block: oneDepth(shapes, down) ?? downDepths(shapes, down),
    addition_embed_type: isXL ? 'text_time' : null,
    addition_time_embed_dim: isXL ? TIME_ID_WIDTH : null,
    projection_class_embeddings_input_dim: isXL ? shapes.size('add_embedding.linear_1.weight', 1) : null,
    act_fn: 'silu',
    flip_sin_to_cos: true,
    freq_shift: 0,
    norm_num_groups: 32,
    norm_eps: 1e-5,
  }
}

interface Block {
  readonly name: string
  readonly resnets: number
  readonly attends: boolean
  /** Transformer blocks of each of its attentions. */
  readonly depths: readonly number[]
}

function blocks(shapes: Shapes, kind: 'down_blocks' | 'up_blocks'): Block[] {
  return Array.from({ length: shapes.count(kind) }, (_, i) => {
    const name = `${kind}.${i}`
    const attentions = shapes.count(`${name}.attentions`)
    const depths = Array.from({ length: attentions }, (_, j) =>
      shapes.count(`${name}.attentions.${j}.transformer_blocks`),
    )
    return { name, resnets: shapes.count(`${name}.resnets`), attends: attentions > 0, depths }
  })
}

function firstAttention(down: readonly Block[]): string {
  const name = down.find(({ attends }) => attends)?.name ?? 'mid_block'
  return `${name}.attentions.0`
}

/** Distilled models lack the middle's attention (SSD-1B, Vega) or all of it. */
function midBlockType(shapes: Shapes): string | null {
  if (shapes.has('mid_block.attentions')) return 'UNetMidBlock2DCrossAttn'
  return shapes.has('mid_block.resnets') ? 'UNetMidBlock2D' : null
}

type Depth = number | readonly number[]

/** Where all attention is as deep. */
function oneDepth(shapes: Shapes, down: readonly Block[]): number | undefined {
  const middle = shapes.count('mid_block.attentions.0.transformer_blocks')
  const depths = new Set([...down.flatMap((block) => block.depths), ...(middle > 0 ? [middle] : [])])
  return depths.size === 1 ? [...depths][0] : undefined
}

/** By level; one without attention may have any, and the last one's is the middle's too. */
function downDepths(shapes: Shapes, down: readonly Block[]): Depth[] {
  const middle = shapes.count('mid_block.attentions.0.transformer_blocks') || 1
  return down.map(({ attends, depths }, i) => depthOf(attends, depths, i === down.length - 1 ? middle : 1))
}

/** Where the way up is no mirror image of the way down. */
function upDepths(shapes: Shapes, up: readonly Block[]): Config {
  const mirrored = downDepths(shapes, blocks(shapes, 'down_blocks')).reverse()
  if (up.every(({ depths }, i) => depths.every((depth) => depth === mirrored[i]))) return {}
  return { reverse_transformer_layers_per_block: up.map(({ attends, depths }) => depthOf(attends, depths, 1)) }
}

function depthOf(attends: boolean, depths: readonly number[], fallback: number): Depth {
  if (!attends) return fallback
  return collapsed(depths)
}

/** One for all where all are the same. */
function collapsed<T>(values: readonly T[]): T | readonly T[] {
  const [first] = values
  return first !== undefined && typeof first === 'number' && values.every((value) => value === first) ? first : values
}
