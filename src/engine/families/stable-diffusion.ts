/** Stable Diffusion 1 and 2: one text encoder of CLIP, whose last layer is read; the pipelines that diffusers began with. */

import type { Config } from '../config-file.ts'
import type { ControlNetPipelineClass, Family, PipelineClass, SingleFile, TextEncoderRole } from './family.ts'

const PIPELINE: PipelineClass = {
  className: 'StableDiffusionPipeline',
  defaults: { numInferenceSteps: 50, guidanceScale: 7.5, strength: 0.8 },
  mendsScheduler: true,
  schedulesForStrength: false,
  decodesLastPrediction: false,
  takesBothSides: false,
}

const CONTROLNET: ControlNetPipelineClass = {
  ...PIPELINE,
  className: 'StableDiffusionControlNetPipeline',
  mendsScheduler: false,
  controlnetConditioningScale: 1,
}

/** The noise schedule of all Stable Diffusions. */
export const BETAS: Config = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  num_train_timesteps: 1000,
  trained_betas: null,
}

const EARLY: Config = { ...BETAS, clip_sample: false, set_alpha_to_one: false, skip_prk_steps: true, steps_offset: 1 }

/** CLIP's tower by OpenAI, as Stable Diffusion 1 and the first half of SDXL have it. */
export function openaiClip(width: number): TextEncoderRole {
  return {
    part: 'text_encoder',
    tokenizer: 'tokenizer',
    origin: 'openai',
    width,
    projects: false,
    cutsLastLayer: false,
    padToken: '<|endoftext|>',
  }
}

/** Stable Diffusion 2's projections are linears. */
function isSD2(unet: Config): boolean {
  return unet.use_linear_projection === true
}

const singleFile: SingleFile = {
  recognises: () => true,
  title: (unet) => `Stable Diffusion ${isSD2(unet) ? 2 : 1}`,
  index: () => ({}),
  scheduler: (_unet, { type }) =>
    type === 'v_prediction'
      ? { _class_name: 'DDIMScheduler', ...EARLY, prediction_type: type }
      : { _class_name: 'PNDMScheduler', ...EARLY },
  // Of Stable Diffusion 2, v-prediction came with 768 pixels; its attention overflows in half precision.
  unet: (unet, { type }) =>
    isSD2(unet) ? { sample_size: type === 'v_prediction' ? 96 : 64, upcast_attention: true } : { sample_size: 64 },
  vae: { scaling_factor: 0.18215, sample_size: 512 },
  textEncoders(unet) {
    const clip = openaiClip(Number(unet.cross_attention_dim))
    return [isSD2(unet) ? { ...clip, origin: 'open_clip', cutsLastLayer: true, padToken: '!' } : clip]
  },
}

export const stableDiffusion: Family = {
  name: 'stable-diffusion',
  pipelines: {
    'text-to-image': { ...PIPELINE, takesBothSides: true },
    'image-to-image': { ...PIPELINE, className: 'StableDiffusionImg2ImgPipeline' },
    inpaint: {
      ...PIPELINE,
      className: 'StableDiffusionInpaintPipeline',
      defaults: { ...PIPELINE.defaults, strength: 1 },
    },
  },
  controlNetPipelines: {
    'text-to-image': CONTROLNET,
    'image-to-image': {
      ...CONTROLNET,
      className: 'StableDiffusionControlNetImg2ImgPipeline',
      controlnetConditioningScale: 0.8,
    },
    inpaint: {
      ...CONTROLNET,
      className: 'StableDiffusionControlNetInpaintPipeline',
      defaults: { ...PIPELINE.defaults, strength: 1 },
      controlnetConditioningScale: 0.5,
    },
  },
  defaultSampleSize: 64,
  layersFromEnd: 0,
  guidanceIsDistilled: false,
  spreadsNegativePrompt: false,
  heedsLatentsMean: false,
  keepsVaeInFp32: () => false,
  zerosForNoPrompt: () => false,
  singleFile,
}
