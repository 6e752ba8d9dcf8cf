/** How long a job will take, learned from the jobs before it. */

import type { Request } from '../job/request.ts'

/** The newest measure's weight in the exponential average: a model that slows down is noticed within a few jobs. */
const SMOOTHING = 0.3

export class Speed {
  /** Seconds for one denoising step of one pixel, everything around the steps included; undefined before the first measure. */
  secondsPerPixelStep: number | undefined

  /** Learns from a job that took this many seconds at the engine. Returns the new `secondsPerPixelStep`. */
  measure(request: Request, seconds: number): number {
    const newest = seconds / pixelSteps(request)
    const old = this.secondsPerPixelStep ?? newest
    this.secondsPerPixelStep = old + SMOOTHING * (newest - old)
    return this.secondsPerPixelStep
  }

  /** Seconds at the engine. */
  estimate(request: Request): number | undefined {
    return this.secondsPerPixelStep && this.secondsPerPixelStep * pixelSteps(request)
  }
}

function pixelSteps({ numInferenceSteps, numImagesPerPrompt, width, height }: Request): number {
  return numInferenceSteps * numImagesPerPrompt * width * height
}
