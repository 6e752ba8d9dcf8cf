/** An engine that a test leads by the hand: each request waits until the test lets it step, finish or break. */

import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { Catalog, Engine, EngineImage, GenerateOptions, ImagesRequest } from '../../src/engine/process/engine.ts'
import { catalog, model } from '../fakes/engine.ts'

/** One request at the engine. */
export interface Call {
  readonly request: ImagesRequest
  readonly signal: AbortSignal | undefined
  step(step: number, steps: number, preview?: Uint8Array): void
  /** Says that a model is being opened for it. */
  open(model: string): void
  finish(): void
  fail(error: Error): void
}

export class LedEngine extends EventEmitter implements Engine {
  readonly model = model
  /** What there is to choose from; tests lay models in. */
  catalog: Catalog = catalog
  /** All requests so far, the finished ones too. */
  readonly calls: Call[] = []
  /** How many requests were here at once, at most. */
  most = 0
  #now = 0
  /** Answers every request at once. */
  free = false

  readonly openModels = new Set([model.name])

  secondsToOpen(): number | undefined {
    return undefined
  }

  async generateImages(request: ImagesRequest, options: GenerateOptions = {}): Promise<EngineImage[]> {
    this.most = Math.max(this.most, ++this.#now)
    try {
      return await new Promise<EngineImage[]>((resolve, reject) => {
        const { signal, onProgress } = options
        signal?.throwIfAborted()
        signal?.addEventListener('abort', () => reject(signal.reason))
        this.calls.push({
          request,
          signal,
          step: (step, steps, preview) => onProgress?.({ step, steps, ...(preview && { preview }) }),
          open: (model) => onProgress?.({ opening: model, step: 0, steps: 0 }),
          finish: () => resolve(imagesOf(request)),
          fail: reject,
        })
        if (this.free) resolve(imagesOf(request))
        this.emit('call')
      })
    } finally {
      this.#now--
    }
  }

  /** The `count`th request, as soon as it is here. */
  async call(count: number): Promise<Call> {
    while (this.calls.length < count) await once(this, 'call')
    return this.calls[count - 1]!
  }

  async stop(): Promise<void> {}
}

/** Bytes that depend on everything that a picture depends on. */
export function imagesOf(request: ImagesRequest): EngineImage[] {
  return request.images.map((noise) => {
    const png = createHash('sha256')
      .update(JSON.stringify({ ...request, images: undefined, noise }))
      .digest()
    return { model, png, width: request.width * request.upscale, height: request.height * request.upscale, nsfw: false }
  })
}
