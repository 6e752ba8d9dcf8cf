/** One job's turn at the engine: its pictures are made, measured and kept. */

import { EngineError } from '../engine/errors.ts'
import type { Engine, EngineImage, GenerateOptions, ImagesRequest } from '../engine/process/engine.ts'
import type { Picture } from '../job/picture.ts'
import { noiseOf, type Request } from '../job/request.ts'
import type { JobStore, PictureStore } from '../store/store.ts'
import { Speed } from './speed.ts'

export interface WorkerOptions {
  readonly jobs: JobStore
  readonly pictures: PictureStore
  readonly engine: Engine
  /** Told what went wrong, in one line for the operator. */
  readonly log: (line: string) => void
}

export class Worker {
  readonly speed = new Speed()
  readonly #options: WorkerOptions
  readonly #measure: string

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#measure = `seconds per pixel and step: ${options.engine.model.hash}`
  }

  /** Knows from then on how fast the model was before the restart. */
  async recallSpeed(): Promise<void> {
    this.speed.secondsPerPixelStep = await this.#options.jobs.getMeasure(this.#measure)
  }

  /** @throws EngineError, or the signal's reason */
  async draw(request: Request, options: GenerateOptions): Promise<EngineImage[]> {
    const { jobs, engine, log } = this.#options
    const since = Date.now()
    const images = await engine.generateImages(imagesRequest(request), options)
    const measured = this.speed.measure(request, (Date.now() - since) / 1000)
    jobs.putMeasure(this.#measure, measured).catch((error: Error) => log(`queue: ${error.message}`))
    return images
  }

  /** @throws StoreError, or the signal's reason */
  async keep(job: string, request: Request, images: EngineImage[], signal: AbortSignal): Promise<Picture[]> {
    for (const [index, { png }] of images.entries()) {
      signal.throwIfAborted()
      await this.#options.pictures.write(job, index, png)
    }
    return images.map(({ png, width, height, nsfw }, index) => {
      return { ...noiseOf(request, index), index, width, height, bytes: png.length, nsfw }
    })
  }
}

/** What the job's author is told. */
export function sentenceOf(error: unknown): string {
  // What is wrong with the model is the operator's to mend, and names their folders; the log has it.
  if (!(error instanceof EngineError) || error.code === 'model') {
    return 'Sorry, something failed on our side and this could not be drawn or kept; please try again later.'
  }
  if (error.code !== 'crashed') return error.message
  return 'Sorry, the engine broke down while drawing this, and again at the second try; please try another, perhaps smaller.'
}

function imagesRequest(request: Request): ImagesRequest {
  const { seed: _seed, variations: _variations, numImagesPerPrompt, ...alike } = request
  return { ...alike, images: Array.from({ length: numImagesPerPrompt }, (_, index) => noiseOf(request, index)) }
}
