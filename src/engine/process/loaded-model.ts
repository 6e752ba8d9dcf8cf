/** A model in the engine's process: its pipeline, and what the bot must know of it. */

import { existsSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { colourPatches, fitLatentRgb, knownLatentRgb, type LatentRgb } from '../images/latent-rgb.ts'
import type { Device } from '../models/device.ts'
import type { AutoencoderKL } from '../models/vae.ts'
import { StableDiffusionPipeline } from '../pipelines/stable-diffusion-pipeline.ts'
import { Generator } from '../random/generator.ts'
import type { Model } from './engine.ts'
import { modelHash } from './model-hash.ts'
import type { LoadOptions } from './protocol.ts'
import { usableCores } from './threads.ts'

export interface LoadedModel {
  readonly pipeline: StableDiffusionPipeline
  readonly facts: Model
  /** How its latents look; absent where nothing tells. */
  readonly latentRgb: LatentRgb | undefined
}

/**
 * @param onSign told that something goes on
 * @throws EngineError `model`, `device`
 */
export async function loadModel(
  options: LoadOptions,
  onNotice: (message: string) => void,
  onSign: () => void,
): Promise<LoadedModel> {
  const { model, device = 'auto', threads = usableCores(), cacheDir } = options
  const opened = await StableDiffusionPipeline.fromPretrained(model, {
    device: device as Device | 'auto',
    onProgress: (progress) => {
      onSign()
      if (progress.status === 'notice') onNotice(progress.message)
    },
    sessionOptions: { intraOpNumThreads: threads },
  })
  const pipeline = fromTextAlone(opened)
  const { modelInfo, components } = pipeline
  return {
    pipeline,
    facts: {
      name: existsSync(model) ? basename(resolve(model)) : model,
      // A hub's model lies wherever the cache put it; its parts know.
      hash: await modelHash(dirname(dirname(components.vae.decoder.path)), { cacheDir }),
      scheduler: String(pipeline.scheduler.config._class_name),
      numInferenceSteps: modelInfo.numInferenceSteps,
      guidanceScale: modelInfo.guidanceScale,
      width: modelInfo.width,
      height: modelInfo.height,
      sizeMultiple: modelInfo.sizeMultiple,
      clipSkip: components.promptEncoder.layersFromEnd + 1,
      maxClipSkip: components.promptEncoder.layersFromEnd + 1 + components.promptEncoder.maxClipSkip(),
      usesGuidance: modelInfo.usesNegativePrompt,
    },
    latentRgb: await latentRgbOf(components.vae),
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
  return fitLatentRgb(vae.scale(encoded.sample(new Generator(0)), true), images)
}
