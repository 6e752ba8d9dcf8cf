/** An engine that draws plain squares at once; what is asked for `slowly` goes on when a test says so. */

import { EventEmitter, once } from 'node:events'
import sharp from 'sharp'
import type { Catalog, Engine, EngineImage, GenerateOptions, ImagesRequest } from '../../src/engine/process/engine.ts'
import { catalog, model } from '../fakes/engine.ts'

/** A request that waits for the test. */
export interface Call {
  readonly prompt: string
  step(step: number, steps: number, preview?: Uint8Array): void
  finish(): void
  fail(error: Error): void
}

export class SquareEngine extends EventEmitter<{ call: [] }> implements Engine {
  readonly model = model
  /** What there is to choose from; tests lay models in. */
  catalog: Catalog = catalog
  readonly #calls: Call[] = []

  readonly openModels = new Set([model.name])

  secondsToOpen(): number | undefined {
    return undefined
  }

  async generateImages(request: ImagesRequest, { signal, onProgress }: GenerateOptions = {}): Promise<EngineImage[]> {
    const { prompt } = request
    if (prompt.includes('slowly')) {
      await new Promise<void>((finish, fail) => {
        signal?.throwIfAborted()
        signal?.addEventListener('abort', () => fail(signal.reason))
        const step = (step: number, steps: number, preview?: Uint8Array) =>
          onProgress?.({ step, steps, ...(preview && { preview }) })
        this.#calls.push({ prompt, step, finish, fail })
        this.emit('call')
      })
    }
    return Promise.all(request.images.map(({ seed }) => square(request, seed)))
  }

  /** The newest request for this prompt, as soon as it is here. */
  async call(prompt: string): Promise<Call> {
    for (;;) {
      const call = this.#calls.findLast((call) => call.prompt === prompt)
      if (call) return call
      await once(this, 'call')
    }
  }

  async stop(): Promise<void> {}
}

/** The colour comes from the seed. */
async function square(request: ImagesRequest, seed: number): Promise<EngineImage> {
  const [width, height] = [request.width * request.upscale, request.height * request.upscale]
  const background = { r: (seed * 53) % 256, g: (seed * 97) % 256, b: (seed * 193) % 256 }
  const png = await sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()
  return { model, png, width, height, nsfw: false }
}
