/** The weights of one part of a pipeline, from its folder. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { withCurrentNames } from './current-names.ts'
import { choosePartFiles, type PartFilesOptions } from './part-files.ts'
import { openShards } from './shards.ts'
import type { WeightFile } from './tensor-map.ts'
import { weightError } from './weight-error.ts'
import { openWeightFile } from './weight-file.ts'

/**
 * Opens the files that diffusers would take, and gives the weights the names that diffusers and transformers use today.
 *
 * @param folder `unet`, `vae`, `text_encoder` … of a diffusers folder, or a ControlNet's own; its files may be links, as in
 *   the hub's cache.
 * @throws EngineError 'model' when there are none, or one is damaged.
 */
export function openPartWeights(folder: string, options: PartFilesOptions = {}): WeightFile {
  const chosen = choosePartFiles(namesIn(folder), options)
  if (!chosen)
    throw weightError(folder, 'holds no weights (diffusion_pytorch_model.safetensors or the like); download it again.')
  const path = join(folder, chosen.name)
  const { weights, metadata } = chosen.name.endsWith('.json') ? openShards(path) : openWeightFile(path)
  return { weights: withCurrentNames(weights), metadata }
}

/** Whether the part's weights are there, in any precision. */
export function hasPartWeights(folder: string): boolean {
  return choosePartFiles(namesIn(folder)) !== undefined
}

/** Of the files there; none where there is no such folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
