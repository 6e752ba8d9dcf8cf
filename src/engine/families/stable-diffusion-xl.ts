/** Stable Diffusion XL and what was distilled from it: two text encoders, whose last layer but one is read, and sizes. */

import type { Config } from '../config-file.ts'
import type { ControlNetPipelineClass, Family, PipelineClass, SingleFile, TextEncoderRole } from './family.ts'
import { LCM_SCHEDULER } from './latent-consistency.ts'
import { BETAS, openaiClip } from './stable-diffusion.ts'

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

const CONTROLNET: ControlNetPipelineClass = {
  ...PIPELINE,
  className: 'StableDiffusionXLControlNetPipeline',
  controlnetConditioningScale: 1,
}

/** Sinusoids of each time id. */
const TIME_ID_WIDTH = 256

/** The refiner reads the second text encoder alone, and takes five time ids beside its pooled state. */
function isRefiner(unet: Config): boolean {
  return Number(unet.projection_class_embeddings_input_dim) - Number(unet.cross_attention_dim) === 5 * TIME_ID_WIDTH
}

const singleFile: SingleFile = {
  recognises: (unet) => unet.addition_embed_type === 'text_time',
  title: (unet) => `Stable Diffusion XL${isRefiner(unet) ? ' Refiner' : ''}`,
  task: (unet) => (isRefiner(unet) ? 'image-to-image' : undefined),
  index: (unet) => ({
    force_zeros_for_empty_prompt: !isRefiner(unet),
    ...(isRefiner(unet) && { requires_aesthetics_score: true }),
  }),
  scheduler: (unet, { type, zeroSnr }) =>
    typeof unet.time_cond_proj_dim === 'number'
      ? LCM_SCHEDULER
      : {
          _class_name: 'EulerDiscreteScheduler',
          ...BETAS,
          interpolation_type: 'linear',
          prediction_type: type,
          ...(zeroSnr && { rescale_betas_zero_snr: true }),
          steps_offset: 1,
          timestep_spacing: 'leading',
          use_karras_sigmas: false,
        },
  unet: () => ({ sample_size: 128 }),
  vae: { scaling_factor: 0.13025, force_upcast: true, sample_size: 1024 },
  textEncoders(unet) {
    const contextWidth = Number(unet.cross_attention_dim)
    const pooledWidth = Number(unet.projection_class_embeddings_input_dim) - 6 * TIME_ID_WIDTH
    const width = isRefiner(unet) ? contextWidth : pooledWidth
    const first = openaiClip(contextWidth - width)
    const second: TextEncoderRole = {
      part: 'text_encoder_2',
      tokenizer: 'tokenizer_2',
      origin: 'open_clip',
      width,
      projects: true,
      cutsLastLayer: false,
      padToken: '!',
    }
    return isRefiner(unet) ? [second] : [first, second]
  },
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
  controlNetPipelines: {
    'text-to-image': CONTROLNET,
    'image-to-image': {
      ...CONTROLNET,
      className: 'StableDiffusionXLControlNetImg2ImgPipeline',
      defaults: { ...PIPELINE.defaults, strength: 0.8 },
      controlnetConditioningScale: 0.8,
    },
    inpaint: {
      ...CONTROLNET,
      className: 'StableDiffusionXLControlNetInpaintPipeline',
      defaults: { ...PIPELINE.defaults, strength: 0.9999 },
    },
  },
  defaultSampleSize: 128,
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
  singleFile,
}
