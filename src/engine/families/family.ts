/** Families of models: what is the same within one and differs between them, in one file a family; here which there are. */

import { EngineError } from '../errors.ts'
import type { Config } from '../models/pipeline-folder.ts'
import { latentConsistency } from './latent-consistency.ts'
import { stableDiffusion } from './stable-diffusion.ts'
import { stableDiffusionXL } from './stable-diffusion-xl.ts'

export type FamilyName = 'stable-diffusion' | 'stable-diffusion-xl' | 'latent-consistency'

export type Task = 'text-to-image' | 'image-to-image' | 'inpaint'

/** What diffusers' pipeline takes where a caller says nothing. */
export interface Defaults {
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  readonly strength: number
}

/** What one of diffusers' pipeline classes does in its own way. */
export interface PipelineClass {
  /** diffusers' name of it. */
  readonly className: string
  readonly defaults: Defaults
  /** Its constructor corrects an outdated scheduler config. */
  readonly mendsScheduler: boolean
  /** Its schedule is built for the strength; all others leave the first steps of theirs out. */
  readonly schedulesForStrength: boolean
  /** It decodes what the last step took for the finished latents, whatever a callback makes of them. */
  readonly decodesLastPrediction: boolean
  /** It takes both sides from the model unless both are given. */
  readonly takesBothSides: boolean
}

/** SDXL's "micro-conditioning" of a row, and of its row without the prompt. */
export interface TimeIds {
  readonly positive: readonly number[]
  readonly negative: readonly number[]
}

export interface Family {
  readonly name: FamilyName
  readonly pipelines: Readonly<Record<Task, PipelineClass>>
  /** Latents' side where `unet/config.json` names none. */
  readonly defaultSampleSize: number
  /** In the order in which what they give is joined. */
  readonly textEncoders: readonly ('text_encoder' | 'text_encoder_2')[]
  /** Layers of the text encoders that the model itself leaves out; 0 reads the last one's output, normalised. */
  readonly layersFromEnd: number
  /** The guidance scale is an input of the model, so there is no negative prompt. */
  readonly guidanceIsDistilled: boolean
  /** One negative prompt stands for a list of prompts; where it does not, diffusers wants a text for a text, a list for a list. */
  readonly spreadsNegativePrompt: boolean
  /** Its pipelines heed the `latents_mean` and `latents_std` of the VAE's config. */
  readonly heedsLatentsMean: boolean
  /** The VAE overflows in half precision and is kept in float32. */
  keepsVaeInFp32(vaeConfig: Config): boolean
  /** Zeros stand for an absent negative prompt, not the encoding of an empty one. @param index `model_index.json` */
  zerosForNoPrompt(index: Config): boolean
  /** Nothing where the UNet takes none. @param index `model_index.json` */
  timeIds?(index: Config, task: Task, height: number, width: number): TimeIds
}

/** The first whose class is named counts: a family may borrow another's class for a task that it has none for. */
const FAMILIES: readonly Family[] = [stableDiffusion, stableDiffusionXL, latentConsistency]

const TASKS: readonly Task[] = ['text-to-image', 'image-to-image', 'inpaint']

/** As `_class_name` in `model_index.json` says; optimum writes ORT…, diffusers' script Onnx… in front of diffusers' names. */
export function familyOf(index: Config): { family: Family; task: Task } {
  const given = index._class_name
  // StableDiffusionPipelineSafe is StableDiffusionPipeline with another checker of its pictures.
  const className =
    typeof given === 'string' ? given.replace(/^(?:ORT|Onnx)/, '').replace(/PipelineSafe$/, 'Pipeline') : ''
  for (const family of FAMILIES)
    for (const task of TASKS) if (family.pipelines[task].className === className) return { family, task }
  throw new EngineError(
    'model',
    `The model's class ${JSON.stringify(given ?? null)} is not supported; use a model whose model_index.json says` +
      ' StableDiffusionPipeline, StableDiffusionXLPipeline, LatentConsistencyModelPipeline, or their Img2Img or Inpaint.',
  )
}
