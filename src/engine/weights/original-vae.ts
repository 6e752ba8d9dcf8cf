/** A VAE in the layout of CompVis' and Stability's code, under diffusers' names. */

import { highestNumber } from './shapes.ts'
import type { StoredTensor, Weights } from './stored-tensor.ts'
import { weightsOf } from './tensor-map.ts'

/** Of the attention, whose linears are convolutions of one pixel there. */
const ATTENTION: Readonly<Record<string, string>> = {
  norm: 'group_norm',
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  proj_out: 'to_out.0',
}

/** @param prefix Of the part's names in the file: `first_stage_model.`, `vae.` or none. */
export function originalVae(weights: Weights, prefix: string): Weights {
  const names = [...weights.names()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  const levels = 1 + highestNumber(names, /^decoder\.up\.(\d+)\./)
  const tensors = new Map<string, StoredTensor>()
  for (const name of names) {
    const renamed = diffusersName(name, levels)
    if (renamed !== undefined) tensors.set(renamed, asLinear(renamed, weights.get(prefix + name)!))
  }
  return weightsOf(tensors)
}

function diffusersName(name: string, levels: number): string | undefined {
  const dot = name.lastIndexOf('.')
  const [module, leaf] = [name.slice(0, dot), name.slice(dot)]
  if (/^(post_)?quant_conv$|^(en|de)coder\.conv_(in|out)$/.test(module)) return name
  const [half = '', ...rest] = module.split('.')
  if (half !== 'encoder' && half !== 'decoder') return undefined
  const inHalf = halfModule(rest, levels)
  return inHalf && `${half}.${inHalf}${leaf}`
}

function halfModule(
  [kind = '', index = '', part = '', ...rest]: readonly string[],
  levels: number,
): string | undefined {
  if (kind === 'norm_out') return 'conv_norm_out'
  if (kind === 'mid' && index === 'attn_1') return ATTENTION[part] && `mid_block.attentions.0.${ATTENTION[part]}`
  if (kind === 'mid') return `mid_block.resnets.${Number(index.replace('block_', '')) - 1}.${resnetPart(part)}`
  if (kind !== 'down' && kind !== 'up') return undefined
  // The decoder's levels are numbered from the finest there, and in the order of their work in diffusers.
  const block = kind === 'up' ? `up_blocks.${levels - 1 - Number(index)}` : `down_blocks.${index}`
  if (part === `${kind}sample`) return `${block}.${kind}samplers.0.${rest.join('.')}`
  const [layer = '', ...inResnet] = rest
  return part === 'block' ? `${block}.resnets.${layer}.${resnetPart(inResnet.join('.'))}` : undefined
}

function resnetPart(part: string): string {
  return part === 'nin_shortcut' ? 'conv_shortcut' : part
}

/** [C, C, 1, 1] or [C, C, 1] has the bytes of [C, C]. */
function asLinear(name: string, tensor: StoredTensor): StoredTensor {
  const isLinear = /\.attentions\.0\.to_(q|k|v|out\.0)\.weight$/.test(name)
  return isLinear ? { ...tensor, shape: tensor.shape.slice(0, 2) } : tensor
}
