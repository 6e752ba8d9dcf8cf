/** diffusers' image-to-image: the `image` under so much noise as `strength` asks for, then denoised towards the prompt. */

import type { Task } from '../families/family.ts'
import { StableDiffusionPipeline } from './stable-diffusion-pipeline.ts'

/** From the components of any family: does what diffusers' image-to-image pipeline of that family does. */
export class StableDiffusionImg2ImgPipeline extends StableDiffusionPipeline {
  protected override get ownTask(): Task {
    return 'image-to-image'
  }
}
