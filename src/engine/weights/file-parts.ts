/** Which of a pipeline's parts one file of weights holds, each under the names that diffusers and transformers give it. */

import { withCurrentNames } from './current-names.ts'
import { withEmaNames } from './ema.ts'
import { clipTextModel, openClipTextModel } from './original-text-encoder.ts'
import { originalUNet } from './original-unet.ts'
import { originalVae } from './original-vae.ts'
import type { Weights } from './stored-tensor.ts'

export interface FileTextEncoder {
  /** Whose tower it is by its layout; transformers' own layout is of both. */
  readonly origin: 'openai' | 'open_clip' | undefined
  readonly weights: Weights
}

export interface FileParts {
  readonly unet?: Weights
  readonly controlnet?: Weights
  readonly vae?: Weights
  /** In the order in which SDXL joins them. */
  readonly textEncoders: readonly FileTextEncoder[]
}

/** The name of one weight that every such part has tells its layout, and where in the file the part begins. */
export function partsOf(file: Weights): FileParts {
  const weights = withEmaNames(file)
  const controlnet = controlNetOf(weights)
  const unet = controlnet ? undefined : unetOf(weights)
  const vae = vaeOf(weights)
  const textEncoders = textEncodersOf(weights)
  return { ...(unet && { unet }), ...(controlnet && { controlnet }), ...(vae && { vae }), textEncoders }
}

function unetOf(weights: Weights): Weights | undefined {
  for (const prefix of ['model.diffusion_model.', 'diffusion_model.', ''])
    if (weights.get(`${prefix}input_blocks.0.0.weight`)) return originalUNet(weights, prefix)
  for (const prefix of ['model.diffusion_model.', 'unet.', ''])
    if (weights.get(`${prefix}up_blocks.0.resnets.0.conv1.weight`) && weights.get(`${prefix}conv_in.weight`))
      return partBehind(weights, prefix, UNET)
  return undefined
}

function controlNetOf(weights: Weights): Weights | undefined {
  for (const prefix of ['control_model.', ''])
    if (weights.get(`${prefix}input_hint_block.0.weight`)) return originalUNet(weights, prefix)
  return weights.get('controlnet_cond_embedding.conv_in.weight') && weights
}

function vaeOf(weights: Weights): Weights | undefined {
  for (const prefix of ['first_stage_model.', 'vae.', '']) {
    if (weights.get(`${prefix}decoder.mid.block_1.conv1.weight`)) return originalVae(weights, prefix)
    if (weights.get(`${prefix}decoder.mid_block.resnets.0.conv1.weight`))
      return withCurrentNames(partBehind(weights, prefix, VAE))
  }
  return undefined
}

/** Where single files have transformers' layout: with what stands before `text_model.`, which may be missing. */
const TRANSFORMERS = [
  { prefix: 'cond_stage_model.transformer.', origin: 'openai' },
  { prefix: 'conditioner.embedders.0.transformer.', origin: 'openai' },
  { prefix: 'text_encoder.', origin: undefined },
  { prefix: '', origin: undefined },
] as const

/** Where they have open_clip's. */
const OPEN_CLIP = ['cond_stage_model.model.', 'conditioner.embedders.0.model.', 'conditioner.embedders.1.model.', '']

function textEncodersOf(weights: Weights): FileTextEncoder[] {
  const found: FileTextEncoder[] = []
  for (const { prefix, origin } of TRANSFORMERS) {
    const isThere = ['text_model.', ''].some((inner) =>
      weights.get(`${prefix}${inner}embeddings.token_embedding.weight`),
    )
    if (isThere) found.push({ origin, weights: clipTextModel(weights, prefix) })
  }
  for (const prefix of OPEN_CLIP)
    if (weights.get(`${prefix}token_embedding.weight`) && weights.get(`${prefix}positional_embedding`))
      found.push({ origin: 'open_clip', weights: openClipTextModel(weights, prefix) })
  return found
}

/** What diffusers' names of a part begin with. */
const UNET = /^(?:conv_(?:in|norm_out|out)|(?:time|add)_embedding|(?:down|up)_blocks|mid_block)\./
const VAE = /^(?:encoder|decoder|quant_conv|post_quant_conv)\./

function partBehind(weights: Weights, prefix: string, own: RegExp): Weights {
  return {
    get: (name) => (own.test(name) ? weights.get(prefix + name) : undefined),
    *names() {
      for (const name of weights.names())
        if (name.startsWith(prefix) && own.test(name.slice(prefix.length))) yield name.slice(prefix.length)
    },
  }
}
