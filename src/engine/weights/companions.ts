/** Parts that a person gives beside a model: a VAE, text encoders, from a file or a folder in diffusers' layout. */

import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, readConfig } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import { requireOwnFiles } from '../links.ts'
import type { PartWeights } from './checkpoint.ts'
import { type FileTextEncoder, partsOf } from './file-parts.ts'
import { identify } from './identify.ts'
import type { PartFilesOptions } from './part-files.ts'
import { hasPartWeights, openPartWeights } from './part-weights.ts'
import { vaeConfig } from './vae-config.ts'
import { weightError } from './weight-error.ts'
import { openWeightFile } from './weight-file.ts'

/** A text encoder that was found; with a config where its folder has one. */
export interface TextEncoderFile extends FileTextEncoder {
  readonly path: string
  readonly config?: Config
}

/**
 * @param path A VAE's file in any layout, its folder, or a pipeline's folder or file that holds one.
 * @param family What the family's VAEs have in their configs, where the file has none.
 * @throws EngineError 'model'
 */
export async function openVae(path: string, family: Config, options: PartFilesOptions): Promise<PartWeights> {
  if (isFolder(path)) {
    requireOwnFiles(path)
    const folder = [path, join(path, 'vae')].find(hasPartWeights)
    if (folder === undefined) throw weightError(path, 'holds no VAE; give a VAE as `vae`.')
    const { weights } = openPartWeights(folder, options)
    return { weights, config: (await readConfig(join(folder, 'config.json'))) ?? { ...family, ...vaeConfig(weights) } }
  }
  const file = openWeightFile(path)
  const { vae } = partsOf(file.weights)
  if (!vae) throw weightError(path, `is ${identify(file).title}, not a VAE; give a VAE as \`vae\`.`)
  return { weights: vae, config: { ...family, ...vaeConfig(vae) } }
}

/** @throws EngineError 'model' where one of the paths holds no text encoder. */
export async function openTextEncoders(
  paths: string | readonly string[] | undefined,
  options: PartFilesOptions,
): Promise<TextEncoderFile[]> {
  const found: TextEncoderFile[] = []
  for (const path of paths === undefined ? [] : [paths].flat()) {
    const here = isFolder(path) ? await inFolder(path, options) : inFile(path)
    found.push(...here)
  }
  return found
}

async function inFolder(path: string, options: PartFilesOptions): Promise<TextEncoderFile[]> {
  requireOwnFiles(path)
  const found: TextEncoderFile[] = []
  for (const folder of [path, join(path, 'text_encoder'), join(path, 'text_encoder_2')]) {
    if (!hasPartWeights(folder)) continue
    const { weights } = openPartWeights(folder, options)
    const config = await readConfig(join(folder, 'config.json'))
    found.push({ path: folder, origin: undefined, weights, ...(config && { config }) })
  }
  if (found.length === 0) throw weightError(path, 'holds no text encoder; give one as `textEncoder`.')
  return found
}

function inFile(path: string): TextEncoderFile[] {
  const file = openWeightFile(path)
  const { textEncoders } = partsOf(file.weights)
  if (textEncoders.length === 0)
    throw weightError(path, `is ${identify(file).title}, not a text encoder; give one as \`textEncoder\`.`)
  return textEncoders.map((encoder) => ({ ...encoder, path }))
}

function isFolder(path: string): boolean {
  if (!existsSync(path)) throw new EngineError('model', `There is no file or folder ${path}; check the path.`)
  return statSync(path).isDirectory()
}
