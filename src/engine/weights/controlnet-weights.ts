/** A ControlNet's weights and config, from a folder in diffusers' layout or from one file in either layout. */

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { readConfig } from '../config-file.ts'
import { requireOwnFiles } from '../links.ts'
import type { PartWeights } from './checkpoint.ts'
import { identify } from './identify.ts'
import type { PartFilesOptions } from './part-files.ts'
import { openPartWeights } from './part-weights.ts'
import { controlNetConfig } from './unet-config.ts'
import { weightError } from './weight-error.ts'
import { openWeightFile } from './weight-file.ts'

/** @throws EngineError 'model' when it is no ControlNet, or a damaged one. */
export async function openControlNet(path: string, options: PartFilesOptions = {}): Promise<PartWeights> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    requireOwnFiles(path)
    const { weights } = openPartWeights(path, options)
    return { weights, config: (await readConfig(join(path, 'config.json'))) ?? controlNetConfig(weights) }
  }
  const { parts, title } = identify(openWeightFile(path))
  if (!parts.controlnet) throw weightError(path, `is ${title}, not a ControlNet; give another as \`controlnet\`.`)
  return { weights: parts.controlnet, config: controlNetConfig(parts.controlnet) }
}
