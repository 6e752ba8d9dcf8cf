/** A model in the engine's process: its pipeline, and what the bot must know of it. */

import { statSync } from 'node:fs'
import type { Device } from '../devices/device.ts'
import { colourPatches, fitLatentRgb, knownLatentRgb, type LatentRgb } from '../images/latent-rgb.ts'
import type { Dtype } from '../models/graph-choice.ts'
import type { AutoencoderKL } from '../models/vae.ts'
import { StableDiffusionPipeline } from '../pipelines/stable-diffusion-pipeline.ts'
import { Generator } from '../random/generator.ts'
import type { Model } from './engine.ts'
import { factsOf } from './model-facts.ts'
import { modelHash } from './model-hash.ts'
import type { OpenModel } from './open-models.ts'
import { PromptNetworks } from './prompt-networks.ts'
import type { LoadOptions } from './protocol.ts'
import { usableCores } from './threads.ts'

export interface LoadedModel extends OpenModel {
  readonly pipeline: StableDiffusionPipeline
  readonly facts: Model
  readonly networks: PromptNetworks
  /** How its latents look; absent where nothing tells. */
  readonly latentRgb: LatentRgb | undefined
}

/**
 * @param name What people call it.
 * @param onSign Told that something goes on.
 * @throws EngineError `model`, `device`
 */
export async function loadModel(
  name: string,
  path: string,
  options: LoadOptions & { readonly loras: boolean },
  onNotice: (message: string) => void,
  onSign: () => void,
): Promise<LoadedModel> {
  const { device = 'auto', dtype = 'auto', threads = usableCores(), cacheDir, vae, loras } = options
  const opened = await StableDiffusionPipeline.fromPretrained(path, {
    device: device as Device | 'auto',
    dtype: dtype as Dtype,
    vae,
    loras,
    onProgress: (progress) => {
      onSign()
      if (progress.status === 'notice') onNotice(progress.message)
    },
    sessionOptions: { intraOpNumThreads: threads },
  })
  const pipeline = fromTextAlone(opened)
  const { components } = pipeline
  const files = await components.source.weightFiles()
  return {
    pipeline,
    facts: factsOf(pipeline, { name, hash: await modelHash(files, { cacheDir }) }),
    networks: new PromptNetworks(pipeline),
    latentRgb: await latentRgbOf(components.vae),
    bytes: files.reduce((sum, file) => sum + statSync(file).size, 0),
    close: () => pipeline.release(),
  }
}

/** A model published for images in and out draws from text too; only a UNet that sees a mask cannot do without one. */
function fromTextAlone(pipeline: StableDiffusionPipeline): StableDiffusionPipeline {
  const { modelInfo, components } = pipeline
  if (components.unet.inChannels !== modelInfo.latentChannels) return pipeline
  return new StableDiffusionPipeline({ ...components, modelInfo: { ...modelInfo, task: 'text-to-image' } })
}

/** Four pictures of patches: 64 colours. */
const PATCH_IMAGES = 4

async function latentRgbOf(vae: AutoencoderKL): Promise<LatentRgb | undefined> {
  const known = knownLatentRgb(vae.latentChannels, vae.scalingFactor)
  if (known || !vae.encoder) return known
  const images = colourPatches(PATCH_IMAGES, vae.scaleFactor)
  const encoded = await vae.encode(images)
  // Most requests never need it again.
  await vae.encoder.release()
  return fitLatentRgb(vae.scale(encoded.sample(new Generator(0)), true), images)
}
