/** What a caller must know of a model before asking for an image, all of it read from the model's folder. */

import type { Defaults, Family, FamilyName, Task } from '../families/family.ts'
import type { Config } from '../models/pipeline-folder.ts'
import type { UNet2DConditionModel } from '../models/unet.ts'
import type { AutoencoderKL } from '../models/vae.ts'

export interface ModelInfo {
  readonly family: FamilyName
  /** What the folder's class does by itself; one with an image can do the others too. */
  readonly task: Task
  /** From the folder's `generation_config.json` where it has one, else diffusers' defaults of that pipeline class. */
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  readonly height: number
  readonly width: number
  /** Height and width should be multiples of this: the VAE and the UNet halve them so often. */
  readonly sizeMultiple: number
  /** Pixels a latent, in each direction. */
  readonly vaeScaleFactor: number
  /** Channels of the latents, not of what the UNet takes. */
  readonly latentChannels: number
  /** False where guidance is distilled into the model (LCM): a negative prompt has no effect there. */
  readonly usesNegativePrompt: boolean
}

export function modelInfo(
  family: Family,
  task: Task,
  unet: UNet2DConditionModel,
  vae: AutoencoderKL,
  generationConfig: Config,
): ModelInfo {
  const { numInferenceSteps, guidanceScale } = modelDefaults(family, task, generationConfig)
  return {
    family: family.name,
    task,
    numInferenceSteps,
    guidanceScale,
    height: numberOr(generationConfig.height, unet.sampleSize[0] * vae.scaleFactor),
    width: numberOr(generationConfig.width, unet.sampleSize[1] * vae.scaleFactor),
    sizeMultiple: Math.max(8, vae.scaleFactor * unet.sizeMultiple),
    vaeScaleFactor: vae.scaleFactor,
    latentChannels: vae.latentChannels,
    usesNegativePrompt: unet.timeCondProjDim === undefined && !family.guidanceIsDistilled,
  }
}

/** The model's own word counts for every task; where it has none, each of diffusers' pipelines has its own. */
export function modelDefaults(family: Family, task: Task, generationConfig: Config): Defaults {
  const { numInferenceSteps, guidanceScale, strength } = family.pipelines[task].defaults
  return {
    numInferenceSteps: numberOr(generationConfig.num_inference_steps, numInferenceSteps),
    guidanceScale: numberOr(generationConfig.guidance_scale, guidanceScale),
    strength,
  }
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}
