/** How long a job will take, learned from the jobs before it. */

import type { Request } from '../job/request.ts'

/** The newest measure's weight in the exponential average: a model that slows down is noticed within a few jobs. */
const SMOOTHING = 0.3

/** By model, since a large one takes many times as long. */
export class Speed {
  /** Seconds for one denoising step of one pixel, everything around the steps included. */
  readonly #secondsPerPixelStep = new Map<string, number>()

  /** What was measured before. */
  recall(model: string, secondsPerPixelStep: number): void {
    this.#secondsPerPixelStep.set(model, secondsPerPixelStep)
  }

  /** Learns from a job that took this many seconds at the engine. Returns what is to be recalled. */
  measure(model: string, request: Request, seconds: number): number {
    const newest = seconds / pixelSteps(request)
    const old = this.#secondsPerPixelStep.get(model) ?? newest
    const smoothed = old + SMOOTHING * (newest - old)
    this.#secondsPerPixelStep.set(model, smoothed)
    return smoothed
  }

  /** Seconds at the engine; nothing before the model's first measure. */
  estimate(model: string, request: Request): number | undefined {
    const known = this.#secondsPerPixelStep.get(model)
    return known && known * pixelSteps(request)
  }
}

function pixelSteps({ numInferenceSteps, numImagesPerPrompt, width, height }: Request): number {
  return numInferenceSteps * numImagesPerPrompt * width * height
}
