/** What a file of weights is: a model and of which family, a part of one, something to add to one, or another program's. */

import type { Config } from '../config-file.ts'
import type { Family, Prediction, Task, TextEncoderRole } from '../families/family.ts'
import { familyOfUNet } from '../families/family-of.ts'
import { type FileParts, partsOf } from './file-parts.ts'
import type { ModelFile } from './model-file.ts'
import { predictionOf } from './prediction.ts'
import type { Weights } from './stored-tensor.ts'
import { controlNetConfig, unetConfig } from './unet-config.ts'
import { additionIn, isEmbedding, leftoverIn, otherModelIn } from './unsupported.ts'
import { vaeConfig } from './vae-config.ts'

export type FileKind =
  /** With its text encoders or its VAE; what it lacks of them has to be given. */
  | 'model'
  /** A model's largest part alone, as ComfyUI keeps it in `diffusion_models`. */
  | 'unet'
  | 'vae'
  | 'text-encoder'
  | 'controlnet'
  | 'lora'
  | 'embedding'
  /** Of other programs or families. */
  | 'other'

export interface IdentifiedUNet {
  readonly weights: Weights
  /** As its shapes have it, with what the family knows beside. */
  readonly config: Config
  readonly family: Family
  readonly task: Task
  readonly prediction: Prediction
  readonly textEncoders: readonly TextEncoderRole[]
}

export interface Identified {
  readonly kind: FileKind
  /** For a sentence: 'a LoRA', 'Stable Diffusion XL'. */
  readonly title: string
  readonly parts: FileParts
  /** Of a kind 'model' or 'unet'. */
  readonly unet?: IdentifiedUNet
}

/** Reads no weights but one small tensor of Stable Diffusion 2, which tells how it predicts. */
export function identify(file: ModelFile): Identified {
  const { weights } = file
  const nothing: FileParts = { textEncoders: [] }
  if (holdsTooMany(weights))
    return { kind: 'other', title: 'a file of more tensors than any model has', parts: nothing }
  const addition = additionIn(weights)
  if (addition !== undefined) return { kind: addition === 'a LoRA' ? 'lora' : 'other', title: addition, parts: nothing }
  const other = otherModelIn(weights)
  if (other !== undefined) return { kind: 'other', title: other, parts: nothing }
  const parts = partsOf(weights)
  if (parts.controlnet) return { kind: 'controlnet', title: controlNetTitle(parts.controlnet), parts }
  if (parts.unet) return identifyModel(file, parts, parts.unet)
  if (parts.vae) return { kind: 'vae', title: vaeTitle(parts.vae), parts }
  if (parts.textEncoders.length > 0) return { kind: 'text-encoder', title: 'a text encoder of CLIP', parts }
  if (isEmbedding(weights)) return { kind: 'embedding', title: 'an embedding (textual inversion)', parts }
  return { kind: 'other', title: leftoverIn(weights) ?? 'a file of unknown weights', parts }
}

function identifyModel(file: ModelFile, parts: FileParts, weights: Weights): Identified {
  const shaped = unetConfig(weights)
  const family = familyOfUNet(shaped)
  const { singleFile } = family
  const kind = parts.vae || parts.textEncoders.length > 0 ? 'model' : 'unet'
  const channels = Number(shaped.in_channels)
  const latentChannels = Number(shaped.out_channels)
  const other = OTHER_INPUTS[channels - latentChannels]
  if (other !== undefined) return { kind: 'other', title: `${other} of ${singleFile.title(shaped)}`, parts }
  const paints = channels === 2 * latentChannels + 1
  const prediction = predictionOf(file, weights, shaped)
  const unet = {
    weights,
    config: { ...shaped, ...singleFile.unet(shaped, prediction) },
    family,
    task: paints ? 'inpaint' : (singleFile.task?.(shaped) ?? 'text-to-image'),
    prediction,
    textEncoders: singleFile.textEncoders(shaped),
  } satisfies IdentifiedUNet
  return { kind, title: `${singleFile.title(shaped)}${paints ? ' for inpainting' : ''}`, parts, unet }
}

/** The largest of these models, with averaged weights beside its own, have five thousand. */
const MOST_TENSORS = 50_000

function holdsTooMany(weights: Weights): boolean {
  let count = 0
  for (const _ of weights.names()) if (++count > MOST_TENSORS) return true
  return false
}

/** UNets that take more than latents beside their prompt: by how many channels more. */
const OTHER_INPUTS: Readonly<Record<number, string>> = {
  1: 'a depth-to-image model',
  3: 'an upscaler',
  4: 'an InstructPix2Pix model',
}

function controlNetTitle(weights: Weights): string {
  const config = controlNetConfig(weights)
  return `a ControlNet for ${familyOfUNet(config).singleFile.title(config)}`
}

function vaeTitle(weights: Weights): string {
  const channels = Number(vaeConfig(weights).latent_channels)
  return channels === 4 ? 'a VAE' : `a VAE with ${channels} channels, of other models`
}
