/** diffusers' inpainting with ControlNets: `image` is painted into, `controlImage` is what they see. */

import type { Task } from '../families/family.ts'
import { StableDiffusionPipeline } from './stable-diffusion-pipeline.ts'

/**
 * For every family, as diffusers' classes of Stable Diffusion and SDXL.
 *
 * ```ts
 * const pipe = await StableDiffusionControlNetInpaintPipeline.fromPretrained(model, { controlnet: 'path/to/controlnet' })
 * ```
 */
export class StableDiffusionControlNetInpaintPipeline extends StableDiffusionPipeline {
  protected override get ownTask(): Task {
    return 'inpaint'
  }

  protected override get usesControlNet(): boolean {
    return true
  }
}
