/** A checkpoint from one file in the original layout, which carries neither configs nor tokenizers nor a scheduler. */

import type { Config } from '../config-file.ts'
import type { EngineError } from '../errors.ts'
import type { Checkpoint, CheckpointOptions, CheckpointPart, PartWeights } from './checkpoint.ts'
import { openTextEncoders, openVae, type TextEncoderFile } from './companions.ts'
import { type FileKind, type Identified, type IdentifiedUNet, identify } from './identify.ts'
import { openModelFile } from './model-file.ts'
import { textEncoderFor, tokenizerSettings, widthOf } from './text-encoder-roles.ts'
import { vaeConfig } from './vae-config.ts'
import { weightError } from './weight-error.ts'

/** @throws EngineError 'model' when it is no model, or a part is missing and was not given. */
export async function openSingleFile(path: string, options: CheckpointOptions): Promise<Checkpoint> {
  const identified = identify(openModelFile(path))
  const { unet } = identified
  if (!unet) throw weightError(path, `is ${identified.title}, not a model${INSTEAD[identified.kind] ?? ''}`)
  const { config, family, task, prediction, textEncoders } = unet
  const own = identified.parts.textEncoders.map((encoder) => ({ ...encoder, path }))
  const found = [...(await openTextEncoders(options.textEncoder, options)), ...own]
  const vae =
    options.vae === undefined ? ownVae(identified, unet) : await openVae(options.vae, family.singleFile.vae, options)
  const parts = new Map<CheckpointPart, PartWeights>([['unet', { config, weights: unet.weights }]])
  if (vae) parts.set('vae', vae)
  for (const role of textEncoders) {
    const encoder = textEncoderFor(role, found)
    if (encoder) parts.set(role.part, encoder)
  }
  requireParts(path, unet, parts, found)
  return {
    path,
    index: { _class_name: family.pipelines[task].className, ...family.singleFile.index(config) },
    scheduler: family.singleFile.scheduler(config, prediction),
    parts,
    tokenizers: new Map(textEncoders.map((role) => [role.tokenizer, tokenizerSettings(role)])),
  }
}

/** What to do with a file that is no model; the rest of the sentence. */
const INSTEAD: Readonly<Record<FileKind, string>> = {
  model: '',
  unet: '',
  vae: '; give the model, and this file as `vae` (SEEDLING_VAE).',
  'text-encoder': '; give the model, and this file as `textEncoder`.',
  controlnet: '; give the model, and this file as `controlnet`.',
  lora: '; give the model, and load this file with loadLoraWeights, or by <lora:its name> in a prompt.',
  embedding: '; give the model, and load this file with loadTextualInversion.',
  other: ' that works here; give a Stable Diffusion 1, 2 or XL, or a model made from one.',
}

function ownVae({ parts: { vae } }: Identified, { family }: IdentifiedUNet): PartWeights | undefined {
  return vae && { weights: vae, config: { ...family.singleFile.vae, ...vaeConfig(vae) } }
}

function requireParts(
  path: string,
  unet: IdentifiedUNet,
  parts: ReadonlyMap<CheckpointPart, PartWeights>,
  found: readonly TextEncoderFile[],
): void {
  const vae = parts.get('vae')
  const missing = unet.textEncoders.filter(({ part }) => !parts.has(part))
  const misfit = found.find(({ weights }) => !unet.textEncoders.some(({ width }) => width === widthOf(weights)))
  if (missing.length > 0 && misfit)
    throw weightError(
      misfit.path,
      `holds a text encoder of width ${widthOf(misfit.weights)}, where ${path} reads ${widths(missing)}; give another as \`textEncoder\`.`,
    )
  if (!vae || missing.length > 0) throw incomplete(path, !vae, missing.length)
  checkLatents(path, unet.config, vae.config)
}

function incomplete(path: string, lacksVae: boolean, encoders: number): EngineError {
  const encoder = encoders > 1 ? `${encoders} text encoders` : 'a text encoder'
  const what = [...(lacksVae ? ['a VAE'] : []), ...(encoders > 0 ? [encoder] : [])].join(' and ')
  const how = [...(lacksVae ? ['`vae` (SEEDLING_VAE)'] : []), ...(encoders > 0 ? ['`textEncoder`'] : [])].join(' and ')
  return weightError(path, `lacks ${what}; give ${lacksVae && encoders > 0 ? 'them' : 'one'} as ${how}.`)
}

function checkLatents(path: string, unet: Config, vae: Config): void {
  if (vae.latent_channels === unet.out_channels) return
  throw weightError(
    path,
    `has latents of ${unet.out_channels} channels and its VAE of ${vae.latent_channels}; give another as \`vae\` (SEEDLING_VAE).`,
  )
}

function widths(roles: readonly { readonly width: number }[]): string {
  return roles.map(({ width }) => width).join(' and ')
}
