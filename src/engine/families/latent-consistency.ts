/** Latent consistency models: Stable Diffusion 1 distilled to a few steps, with the guidance scale as an input. */

import type { Family, PipelineClass } from './family.ts'
import { stableDiffusion } from './stable-diffusion.ts'

const PIPELINE: PipelineClass = {
  className: 'LatentConsistencyModelPipeline',
  defaults: { numInferenceSteps: 4, guidanceScale: 8.5, strength: 0.8 },
  mendsScheduler: false,
  schedulesForStrength: false,
  decodesLastPrediction: true,
  takesBothSides: false,
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
}
