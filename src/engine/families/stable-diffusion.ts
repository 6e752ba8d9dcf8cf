/** Stable Diffusion 1 and 2: one text encoder of CLIP, whose last layer is read; the pipelines that diffusers began with. */

import type { Family, PipelineClass } from './family.ts'

const PIPELINE: PipelineClass = {
  className: 'StableDiffusionPipeline',
  defaults: { numInferenceSteps: 50, guidanceScale: 7.5, strength: 0.8 },
  mendsScheduler: true,
  schedulesForStrength: false,
  decodesLastPrediction: false,
  takesBothSides: false,
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
  defaultSampleSize: 64,
  textEncoders: ['text_encoder'],
  layersFromEnd: 0,
  guidanceIsDistilled: false,
  spreadsNegativePrompt: false,
  heedsLatentsMean: false,
  keepsVaeInFp32: () => false,
  zerosForNoPrompt: () => false,
}
