/** A checkpoint from a folder in diffusers' layout, with PyTorch's weights. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, readConfig } from '../config-file.ts'
import type { TextEncoderRole } from '../families/family.ts'
import { familyOf, familyOfUNet } from '../families/family-of.ts'
import type { Checkpoint, CheckpointOptions, CheckpointPart, PartWeights } from './checkpoint.ts'
import { openTextEncoders, openVae } from './companions.ts'
import { requireVariant } from './part-files.ts'
import { hasPartWeights, namesIn, openPartWeights } from './part-weights.ts'
import { textEncoderFor, tokenizerSettings } from './text-encoder-roles.ts'
import { unetConfig } from './unet-config.ts'
import { weightError } from './weight-error.ts'

const PARTS: readonly CheckpointPart[] = ['unet', 'vae', 'text_encoder', 'text_encoder_2', 'safety_checker']

/** @throws EngineError 'model' when it is no pipeline, or a part is missing and was not given. */
export async function openFolder(path: string, options: CheckpointOptions): Promise<Checkpoint> {
  const index = await readConfig(join(path, 'model_index.json'))
  if (!index) throw weightError(path, 'is no pipeline: it has no model_index.json; give the folder that has one.')
  familyOf(index)
  const parts = await openParts(path, options)
  const unet = parts.get('unet')
  if (!unet) throw missing(path, 'unet')
  const roles = textEncoderRoles(unet)
  await replaceParts(parts, unet, roles, options)
  const absent = [{ part: 'vae' } as const, ...roles].find(({ part }) => !parts.has(part))
  if (absent) throw missing(path, absent.part)
  const scheduler = await readConfig(join(path, 'scheduler', 'scheduler_config.json'))
  if (!scheduler) throw weightError(path, 'has no scheduler/scheduler_config.json; download it again.')
  const featureExtractor = await readConfig(join(path, 'feature_extractor', 'preprocessor_config.json'))
  const generation = await readConfig(join(path, 'generation_config.json'))
  return {
    path,
    index,
    scheduler,
    parts,
    tokenizers: new Map(roles.map((role) => [role.tokenizer, tokenizerOf(path, role)])),
    ...(featureExtractor && { featureExtractor }),
    ...(generation && { generation }),
  }
}

async function openParts(path: string, options: CheckpointOptions): Promise<Map<CheckpointPart, PartWeights>> {
  requireVariant(
    path,
    PARTS.flatMap((part) => namesIn(join(path, part))),
    options.variant,
  )
  const parts = new Map<CheckpointPart, PartWeights>()
  for (const part of PARTS) {
    const folder = join(path, part)
    if (!hasPartWeights(folder)) continue
    const config = await readConfig(join(folder, 'config.json'))
    if (!config) throw weightError(folder, 'has no config.json beside its weights; download it again.')
    const { weights } = openPartWeights(folder, options)
    parts.set(part, { config: part === 'unet' ? currentUNet(config) : config, weights })
  }
  return parts
}

/** diffusers' names of blocks before its first release, as its own `get_down_block` still reads them. */
function currentUNet(config: Config): Config {
  const renamed = Object.entries(config).filter(([key]) => /^(?:down|up)_block_types$/.test(key))
  const current = (name: unknown) => (typeof name === 'string' ? name.replace(/^UNetRes/, '') : name)
  return {
    ...config,
    ...Object.fromEntries(renamed.map(([key, names]) => [key, Array.isArray(names) ? names.map(current) : names])),
  }
}

/** The shapes tell, as a config of early times may lack what is asked here. */
function textEncoderRoles({ weights }: PartWeights): readonly TextEncoderRole[] {
  const shaped = unetConfig(weights)
  return familyOfUNet(shaped).singleFile.textEncoders(shaped)
}

async function replaceParts(
  parts: Map<CheckpointPart, PartWeights>,
  unet: PartWeights,
  roles: readonly TextEncoderRole[],
  options: CheckpointOptions,
): Promise<void> {
  if (options.vae !== undefined) {
    const { vae } = familyOfUNet(unetConfig(unet.weights)).singleFile
    parts.set('vae', await openVae(options.vae, { ...vae, ...scalingOf(parts.get('vae')) }, options))
  }
  const given = await openTextEncoders(options.textEncoder, options)
  for (const role of roles) {
    const encoder = textEncoderFor(role, given)
    if (encoder) parts.set(role.part, encoder)
  }
}

/** A VAE's file says nothing of its scale: the one that it replaces does. */
function scalingOf(vae: PartWeights | undefined): Config {
  const { scaling_factor, force_upcast } = vae?.config ?? {}
  return {
    ...(scaling_factor !== undefined && { scaling_factor }),
    ...(force_upcast !== undefined && { force_upcast }),
  }
}

function tokenizerOf(path: string, role: TextEncoderRole) {
  const folder = join(path, role.tokenizer)
  return existsSync(folder) ? folder : tokenizerSettings(role)
}

function missing(path: string, part: CheckpointPart) {
  const instead = part === 'unet' ? '' : `, or give one as \`${part === 'vae' ? 'vae' : 'textEncoder'}\``
  const variable = part === 'vae' ? ' (SEEDLING_VAE)' : ''
  return weightError(path, `lacks the weights of its ${part}; download them again${instead}${variable}.`)
}
