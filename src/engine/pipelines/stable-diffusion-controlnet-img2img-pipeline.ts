/** diffusers' image-to-image with ControlNets: `image` is drawn anew, `controlImage` is what they see. */

import type { Task } from '../families/family.ts'
import { StableDiffusionPipeline } from './stable-diffusion-pipeline.ts'

/**
 * For every family, as diffusers' classes of Stable Diffusion and SDXL.
 *
 * ```ts
 * const pipe = await StableDiffusionControlNetImg2ImgPipeline.fromPretrained(model, { controlnet: 'path/to/controlnet' })
 * ```
 */
export class StableDiffusionControlNetImg2ImgPipeline extends StableDiffusionPipeline {
  protected override get ownTask(): Task {
    return 'image-to-image'
  }

  protected override get usesControlNet(): boolean {
    return true
  }
}
