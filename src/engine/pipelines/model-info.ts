/** What a caller must know of a model before asking for an image, all of it read from the model's folder. */

import type { Config } from '../config-file.ts'
import type { Defaults, Family, FamilyName, PipelineClass, Task } from '../families/family.ts'
import { familyOf } from '../families/family-of.ts'
import { sampleSizeOf, scaleOf } from '../models/unet.ts'
import type { PipelineSource } from './pipeline-source.ts'

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

/** What the open graphs say, or, before they are open, the configs. */
export interface Shapes {
  /** Latents' height and width. */
  readonly sampleSize: readonly [height: number, width: number]
  /** Latents' sides must be multiples of this. */
  readonly sizeMultiple: number
  readonly timeCondProjDim: number | undefined
  readonly scaleFactor: number
  readonly latentChannels: number
}

export function modelInfo(family: Family, task: Task, shapes: Shapes, generationConfig: Config): ModelInfo {
  const { sampleSize, sizeMultiple, timeCondProjDim, scaleFactor, latentChannels } = shapes
  const { numInferenceSteps, guidanceScale } = modelDefaults(family.pipelines[task], generationConfig)
  return {
    family: family.name,
    task,
    numInferenceSteps,
    guidanceScale,
    height: numberOr(generationConfig.height, sampleSize[0] * scaleFactor),
    width: numberOr(generationConfig.width, sampleSize[1] * scaleFactor),
    sizeMultiple: Math.max(8, scaleFactor * sizeMultiple),
    vaeScaleFactor: scaleFactor,
    latentChannels,
    usesNegativePrompt: timeCondProjDim === undefined && !family.guidanceIsDistilled,
  }
}

/** The same of a model that is not open, by its configs alone. @throws EngineError 'model' */
export async function describeSource(source: PipelineSource): Promise<ModelInfo> {
  const { family, task } = familyOf(source.index)
  const unet = (await source.config('unet')) ?? {}
  const vae = (await source.config('vae')) ?? {}
  const { time_cond_proj_dim: timeCondProjDim } = unet
  const shapes = {
    sampleSize: sampleSizeOf(unet, family.defaultSampleSize),
    sizeMultiple: scaleOf(unet),
    timeCondProjDim: typeof timeCondProjDim === 'number' ? timeCondProjDim : undefined,
    scaleFactor: scaleOf(vae),
    latentChannels: numberOr(vae.latent_channels, 4),
  }
  return modelInfo(family, task, shapes, (await source.config('generation')) ?? {})
}

/** The model's own word counts for every task; where it has none, each of diffusers' pipelines has its own. */
export function modelDefaults({ defaults }: PipelineClass, generationConfig: Config): Defaults {
  const { numInferenceSteps, guidanceScale, strength } = defaults
  return {
    numInferenceSteps: numberOr(generationConfig.num_inference_steps, numInferenceSteps),
    guidanceScale: numberOr(generationConfig.guidance_scale, guidanceScale),
    strength,
  }
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}
