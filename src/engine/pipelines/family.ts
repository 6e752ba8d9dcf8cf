/** What differs between Stable Diffusion's families: diffusers' defaults, which layers of text count, what goes to the UNet. */

import { EngineError } from '../errors.ts'
import type { Config } from '../models/pipeline-folder.ts'

export type Family = 'stable-diffusion' | 'stable-diffusion-xl' | 'latent-consistency'

export type Task = 'text-to-image' | 'image-to-image' | 'inpaint'

/** The defaults of diffusers' pipeline of a family and task. */
export interface Defaults {
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  readonly strength: number
}

const STABLE_DIFFUSION = { numInferenceSteps: 50, guidanceScale: 7.5, strength: 0.8 }
const STABLE_DIFFUSION_XL = { numInferenceSteps: 50, guidanceScale: 5, strength: 0.3 }
const LATENT_CONSISTENCY = { numInferenceSteps: 4, guidanceScale: 8.5, strength: 0.8 }

const DEFAULTS: Record<Family, Record<Task, Defaults>> = {
  'stable-diffusion': {
    'text-to-image': STABLE_DIFFUSION,
    'image-to-image': STABLE_DIFFUSION,
    inpaint: { ...STABLE_DIFFUSION, strength: 1 },
  },
  'stable-diffusion-xl': {
    'text-to-image': STABLE_DIFFUSION_XL,
    'image-to-image': STABLE_DIFFUSION_XL,
    inpaint: { ...STABLE_DIFFUSION_XL, guidanceScale: 7.5, strength: 0.9999 },
  },
  'latent-consistency': {
    'text-to-image': LATENT_CONSISTENCY,
    'image-to-image': LATENT_CONSISTENCY,
    // diffusers has no inpainting pipeline of this family: Stable Diffusion's takes its parts.
    inpaint: { ...STABLE_DIFFUSION, strength: 1 },
  },
}

export function defaultsOf(family: Family, task: Task): Defaults {
  return DEFAULTS[family][task]
}

/** Latents' side where `unet/config.json` names none. */
export function defaultSampleSize(family: Family): number {
  return family === 'stable-diffusion-xl' ? 128 : 64
}

/** Only the Stable Diffusion pipelines' constructors mend an outdated scheduler config. */
export function mendsScheduler(family: Family, task: Task): boolean {
  return family === 'stable-diffusion' || (family === 'latent-consistency' && task === 'inpaint')
}

/** As `_class_name` in `model_index.json` says; optimum writes ORT…, diffusers' script Onnx… in front of diffusers' names. */
export function familyOf(index: Config): { family: Family; task: Task } {
  const given = index._class_name
  const name = typeof given === 'string' ? given.replace(/^(?:ORT|Onnx)/, '') : ''
  const task: Task = /Img2Img/.test(name) ? 'image-to-image' : /Inpaint/.test(name) ? 'inpaint' : 'text-to-image'
  if (/^LatentConsistencyModel(?:Img2Img)?Pipeline$/.test(name)) return { family: 'latent-consistency', task }
  if (/^StableDiffusionXL(?:Img2Img|Inpaint)?Pipeline$/.test(name)) return { family: 'stable-diffusion-xl', task }
  if (/^StableDiffusion(?:Img2Img|Inpaint)?Pipeline(?:Safe)?$/.test(name)) return { family: 'stable-diffusion', task }
  throw new EngineError(
    'model',
    `The model's class ${JSON.stringify(given ?? null)} is not supported; use a model whose model_index.json says` +
      ' StableDiffusionPipeline, StableDiffusionXLPipeline, LatentConsistencyModelPipeline, or their Img2Img or Inpaint.',
  )
}
