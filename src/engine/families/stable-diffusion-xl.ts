/** Stable Diffusion XL and what was distilled from it: two text encoders, whose last layer but one is read, and sizes. */

import type { Family, PipelineClass } from './family.ts'

/** diffusers' defaults for models that were trained on scored pictures. */
const AESTHETIC_SCORE = 6
const NEGATIVE_AESTHETIC_SCORE = 2.5

const PIPELINE: PipelineClass = {
  className: 'StableDiffusionXLPipeline',
  defaults: { numInferenceSteps: 50, guidanceScale: 5, strength: 0.3 },
  mendsScheduler: false,
  schedulesForStrength: false,
  decodesLastPrediction: false,
  takesBothSides: false,
}

export const stableDiffusionXL: Family = {
  name: 'stable-diffusion-xl',
  pipelines: {
    'text-to-image': PIPELINE,
    'image-to-image': { ...PIPELINE, className: 'StableDiffusionXLImg2ImgPipeline' },
    inpaint: {
      ...PIPELINE,
      className: 'StableDiffusionXLInpaintPipeline',
      defaults: { numInferenceSteps: 50, guidanceScale: 7.5, strength: 0.9999 },
    },
  },
  defaultSampleSize: 128,
  textEncoders: ['text_encoder', 'text_encoder_2'],
  layersFromEnd: 1,
  guidanceIsDistilled: false,
  spreadsNegativePrompt: true,
  heedsLatentsMean: true,
  keepsVaeInFp32: (vaeConfig) => vaeConfig.force_upcast !== false,
  // The pipelines were built with this on unless model_index.json says otherwise.
  zerosForNoPrompt: (index) => index.force_zeros_for_empty_prompt !== false,
  /** Original size, crop, target size; or, for models trained so, an aesthetic score in the target's place. */
  timeIds(index, task, height, width) {
    const aesthetic = task !== 'text-to-image' && index.requires_aesthetics_score === true
    const ids = (score: number) => [height, width, 0, 0, ...(aesthetic ? [score] : [height, width])]
    return { positive: ids(AESTHETIC_SCORE), negative: ids(NEGATIVE_AESTHETIC_SCORE) }
  },
}
