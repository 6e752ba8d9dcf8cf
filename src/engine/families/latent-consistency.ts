/** Latent consistency models: Stable Diffusion 1 distilled to a few steps, with the guidance scale as an input. */

import type { Config } from '../config-file.ts'
import type { Family, PipelineClass } from './family.ts'
import { BETAS, stableDiffusion } from './stable-diffusion.ts'

const PIPELINE: PipelineClass = {
  className: 'LatentConsistencyModelPipeline',
  defaults: { numInferenceSteps: 4, guidanceScale: 8.5, strength: 0.8 },
  mendsScheduler: false,
  schedulesForStrength: false,
  decodesLastPrediction: true,
  takesBothSides: false,
}

/** diffusers' defaults of its class; SDXL's that were distilled so have it too. */
export const LCM_SCHEDULER: Config = {
  _class_name: 'LCMScheduler',
  ...BETAS,
  clip_sample: false,
  original_inference_steps: 50,
  prediction_type: 'epsilon',
  set_alpha_to_one: true,
  timestep_scaling: 10,
  timestep_spacing: 'leading',
}

export const latentConsistency: Family = {
  ...stableDiffusion,
  name: 'latent-consistency',
  pipelines: {
    'text-to-image': PIPELINE,
    'image-to-image': {
      ...PIPELINE,
      className: 'LatentConsistencyModelImg2ImgPipeline',
      schedulesForStrength: true,
    },
    // diffusers has none of this family: Stable Diffusion's takes its parts.
    inpaint: stableDiffusion.pipelines.inpaint,
  },
  guidanceIsDistilled: true,
  singleFile: {
    ...stableDiffusion.singleFile,
    recognises: (unet) => typeof unet.time_cond_proj_dim === 'number' && unet.addition_embed_type === null,
    title: () => 'Latent Consistency Model',
    scheduler: () => LCM_SCHEDULER,
    unet: () => ({ sample_size: 96 }),
  },
}
