/** diffusers' text-to-image with ControlNets: `image` is what they see. */

import type { Task } from '../families/family.ts'
import { StableDiffusionPipeline } from './stable-diffusion-pipeline.ts'

/**
 * For every family, as diffusers' classes of Stable Diffusion and SDXL.
 *
 * ```ts
 * const pipe = await StableDiffusionControlNetPipeline.fromPretrained(model, { controlnet: 'path/to/controlnet' })
 * ```
 */
export class StableDiffusionControlNetPipeline extends StableDiffusionPipeline {
  protected override get ownTask(): Task {
    return 'text-to-image'
  }

  protected override get usesControlNet(): boolean {
    return true
  }
}
