/**
 * A UNet or a ControlNet in the layout of CompVis' and Stability's code, under diffusers' names. Its numbered blocks are one
 * row through all levels, so where a level ends is read off the blocks themselves: at each downsampling.
 */

import { highestNumber, MOST } from './shapes.ts'
import type { StoredTensor, Weights } from './stored-tensor.ts'
import { weightsOf } from './tensor-map.ts'

/** Modules that have a place of their own. */
const FIXED: Readonly<Record<string, string>> = {
  'time_embed.0': 'time_embedding.linear_1',
  'time_embed.2': 'time_embedding.linear_2',
  'time_embed.cond_proj': 'time_embedding.cond_proj',
  'label_emb.0.0': 'add_embedding.linear_1',
  'label_emb.0.2': 'add_embedding.linear_2',
  'input_blocks.0.0': 'conv_in',
  'out.0': 'conv_norm_out',
  'out.2': 'conv_out',
  middle_block_out: 'controlnet_mid_block',
  'middle_block_out.0': 'controlnet_mid_block',
}

const RESNET: Readonly<Record<string, string>> = {
  'in_layers.0': 'norm1',
  'in_layers.2': 'conv1',
  'emb_layers.1': 'time_emb_proj',
  'out_layers.0': 'norm2',
  'out_layers.3': 'conv2',
  skip_connection: 'conv_shortcut',
}

/** Resnets of each level, the finest first. */
type Levels = readonly number[]

/** @param prefix Of the part's names in the file: `model.diffusion_model.`, `control_model.` or none. */
export function originalUNet(weights: Weights, prefix: string): Weights {
  const names = [...weights.names()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  const levels = levelsOf(names)
  const lastHint = highestNumber(names, /^input_hint_block\.(\d+)\./)
  const tensors = new Map<string, StoredTensor>()
  for (const name of names) {
    const dot = name.lastIndexOf('.')
    const module = diffusersModule(name.slice(0, dot), levels, lastHint)
    if (module !== undefined) tensors.set(module + name.slice(dot), weights.get(prefix + name)!)
  }
  return weightsOf(tensors)
}

function levelsOf(names: readonly string[]): Levels {
  const last = Math.max(0, highestNumber(names, /^input_blocks\.(\d+)\./))
  const ends = names.flatMap((name) => /^input_blocks\.(\d+)\.0\.op\.weight$/.exec(name)?.[1] ?? []).map(Number)
  const bounds = [0, ...ends.sort((a, b) => a - b).slice(0, MOST), last + 1]
  return bounds.slice(1).map((end, level) => end - bounds[level]! - 1)
}

/** Nothing where diffusers has no such module. */
function diffusersModule(module: string, levels: Levels, lastHint: number): string | undefined {
  const fixed = FIXED[module]
  if (fixed !== undefined) return fixed
  const [kind = '', index = '', ...rest] = module.split('.')
  if (kind === 'input_blocks') return inputModule(Number(index), rest, levels)
  if (kind === 'middle_block') return middleModule(Number(index), rest)
  if (kind === 'output_blocks') return outputModule(Number(index), rest, levels)
  if (kind === 'zero_convs') return `controlnet_down_blocks.${index}`
  if (kind === 'input_hint_block') return hintModule(Number(index), lastHint)
  return undefined
}

function inputModule(index: number, [place, ...rest]: readonly string[], levels: Levels): string | undefined {
  const at = locate(index - 1, levels)
  if (!at) return undefined
  const block = `down_blocks.${at.level}`
  if (place === '0' && rest[0] === 'op') return `${block}.downsamplers.0.conv`
  if (place === '0') return resnetModule(`${block}.resnets.${at.layer}`, rest)
  return place === '1' ? [`${block}.attentions.${at.layer}`, ...rest].join('.') : undefined
}

function middleModule(index: number, rest: readonly string[]): string | undefined {
  if (index === 1) return ['mid_block.attentions.0', ...rest].join('.')
  return resnetModule(`mid_block.resnets.${index / 2}`, rest)
}

/** The coarsest level first, each with one resnet more than on the way down. */
function outputModule(index: number, [place, ...rest]: readonly string[], levels: Levels): string | undefined {
  const at = locate(index, [...levels].reverse())
  if (!at) return undefined
  const block = `up_blocks.${at.level}`
  if (place === '0') return resnetModule(`${block}.resnets.${at.layer}`, rest)
  // The upsampler comes behind the attention where there is one.
  if (rest[0] === 'conv') return `${block}.upsamplers.0.conv`
  return place === '1' ? [`${block}.attentions.${at.layer}`, ...rest].join('.') : undefined
}

/** The level whose blocks, its resnets and one more, hold that one. */
function locate(index: number, levels: Levels): { level: number; layer: number } | undefined {
  let layer = index
  for (const [level, resnets] of levels.entries()) {
    if (layer <= resnets) return layer < 0 ? undefined : { level, layer }
    layer -= resnets + 1
  }
  return undefined
}

function resnetModule(resnet: string, rest: readonly string[]): string | undefined {
  const module = RESNET[rest.join('.')]
  return module && `${resnet}.${module}`
}

/** Every other one of the hint's layers is an activation. */
function hintModule(index: number, last: number): string {
  if (index === 0) return 'controlnet_cond_embedding.conv_in'
  return `controlnet_cond_embedding.${index === last ? 'conv_out' : `blocks.${index / 2 - 1}`}`
}
