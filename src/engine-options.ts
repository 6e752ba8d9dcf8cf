/** What the engine is started with, out of the settings; the same for the bot and the command line. */

import { join } from 'node:path'
import type { Config } from './config.ts'
import { EMBEDDED_MODEL } from './embedded-model.ts'
import type { LoadOptions } from './engine/process/protocol.ts'

const GIGABYTE = 1e9

/** @param model In place of SEEDLING_MODEL. */
export function engineOptions(config: Config, model = config.SEEDLING_MODEL): LoadOptions {
  const { SEEDLING_MODELS: modelsFolder, SEEDLING_MODEL_MEMORY: memory } = config
  return {
    // Where there is a folder of models, its first one draws.
    model: model ?? (modelsFolder === undefined ? EMBEDDED_MODEL : undefined),
    modelsFolder,
    vae: config.SEEDLING_VAE,
    device: config.SEEDLING_DEVICE,
    dtype: config.SEEDLING_DTYPE,
    cacheDir: join(config.SEEDLING_DATA, 'cache'),
    ...(memory !== undefined && { modelMemory: memory * GIGABYTE }),
  }
}
