/** diffusers' inpainting: what is white in `maskImage` is painted anew, by a UNet made for it (9 channels) or any other. */

import type { Task } from '../families/family.ts'
import { StableDiffusionPipeline } from './stable-diffusion-pipeline.ts'

/** From the components of any family: does what diffusers' inpainting pipeline of that family does. */
export class StableDiffusionInpaintPipeline extends StableDiffusionPipeline {
  protected override get ownTask(): Task {
    return 'inpaint'
  }
}
