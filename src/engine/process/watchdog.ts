/** Notices that a process shows no sign of life for longer than it ever should. */

import type { ImagesRequest } from './engine.ts'

/** A timer that is late by so much says that this program stood still itself, as in a suspended machine. */
const LATE_MS = 1000

export class Watchdog {
  readonly #onSilence: (ms: number) => void
  #timer: NodeJS.Timeout | undefined

  /** @param onSilence told that a sign was waited for in vain, and how long */
  constructor(onSilence: (ms: number) => void) {
    this.#onSilence = onSilence
  }

  /** A sign has to come within `ms`; it is given by the next `expect` or `rest`. */
  expect(ms: number): void {
    this.rest()
    const due = performance.now() + ms
    this.#timer = setTimeout(() => {
      if (performance.now() - due > LATE_MS) this.expect(ms)
      else this.#onSilence(ms)
    }, ms).unref()
  }

  /** Nothing is waited for. */
  rest(): void {
    clearTimeout(this.#timer)
  }
}

/** Before a step was measured: the first one may compile, or read a large model from a slow disk. */
const UNMEASURED = 20
/** While a model is loaded, which says little. */
const LOADING = 60
/** A step that takes so many times its measured time has stopped. */
const BEYOND_MEASURE = 20
const FORGETTING = 0.05

/** How long a silence may last. Decoding a picture counts as a step: with any model it takes less than a few. */
export class Patience {
  readonly #leastMs: number
  /** By model: one may take a thousand times as long as another. */
  readonly #msPerPixel = new Map<string | undefined, number>()

  /** @param leastMs even where steps are quick */
  constructor(leastMs: number) {
    this.#leastMs = leastMs
  }

  /** Until the next sign of a model that is loaded, in milliseconds. */
  get forLoading(): number {
    return LOADING * this.#leastMs
  }

  /** Until the next sign of a request, in milliseconds. */
  forStep({ model, width, height, images }: ImagesRequest): number {
    const msPerPixel = this.#msPerPixel.get(model)
    if (msPerPixel === undefined) return UNMEASURED * this.#leastMs
    // The pictures are decoded one after another, without a word between.
    return Math.max(this.#leastMs, BEYOND_MEASURE * msPerPixel * width * height) * images.length
  }

  /** Learns from a step. The slowest one counts, and is forgotten little by little. */
  measure({ model, width, height }: ImagesRequest, ms: number): void {
    const newest = ms / (width * height)
    const slowest = this.#msPerPixel.get(model) ?? newest
    this.#msPerPixel.set(model, Math.max(newest, slowest + FORGETTING * (newest - slowest)))
  }

  /** Its model is opened anew, so that the first step counts as the first again. */
  forget({ model }: ImagesRequest): void {
    this.#msPerPixel.delete(model)
  }
}
