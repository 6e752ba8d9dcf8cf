/** One job's turn at the engine, from its start to its end: its pictures are made, measured and kept. */

import { EngineError } from '../engine/errors.ts'
import type { Engine, EngineImage, EngineProgress, ImagesRequest } from '../engine/process/engine.ts'
import type { Job } from '../job/job.ts'
import type { Picture } from '../job/picture.ts'
import { noiseOf, type Request } from '../job/request.ts'
import type { JobStore, PictureStore } from '../store/store.ts'
import type { Estimates } from './estimates.ts'
import type { Outage } from './outage.ts'
import type { Live, Records } from './records.ts'
import { type Ending, ended, started } from './transitions.ts'

export interface WorkerOptions {
  readonly jobs: JobStore
  readonly pictures: PictureStore
  readonly engine: Engine
  /** Told what went wrong, in one line for the operator. */
  readonly log: (line: string) => void
}

interface Drawn {
  readonly images: EngineImage[]
  /** How long the engine took. */
  readonly drawnMs: number
}

export class Worker {
  readonly #options: WorkerOptions
  readonly #records: Records
  readonly #outage: Outage
  readonly #changed: (live: Live) => void
  readonly #estimates: Estimates

  /** @param changed told of every change to a job that is not finished, or whose end could not be stored */
  constructor(
    options: WorkerOptions,
    records: Records,
    estimates: Estimates,
    outage: Outage,
    changed: (live: Live) => void,
  ) {
    this.#options = options
    this.#records = records
    this.#outage = outage
    this.#changed = changed
    this.#estimates = estimates
  }

  /** Never rejects: whatever goes wrong ends the job, in words, or is the stop of the program. */
  async run(live: Live): Promise<void> {
    const { id, request } = live.job
    const { signal } = live.stop
    try {
      if ((await this.#start(id)).state !== 'running') return
      const { images, drawnMs } = await this.#draw(live)
      const pictures = await this.#keep(id, request, images, signal)
      await this.#outage.outlast(() =>
        this.#records.finish(id, { state: 'done', pictures, model: images[0]!.model, drawnMs }),
      )
    } catch (error) {
      if (!signal.aborted && !this.#outage.closing.aborted) await this.#failed(live, error)
    }
    // It may have been cancelled while its pictures were written.
    if (live.job.state === 'cancelled') await this.#options.pictures.remove(id).catch((error) => this.#log(id, error))
  }

  /** Ends a job with a sentence; where even that cannot be stored it is told all the same, and a restart tries again. */
  async fail(live: Live, error: string): Promise<void> {
    const end: Ending = { state: 'failed', error }
    try {
      await this.#outage.outlast(() => this.#records.finish(live.job.id, end))
    } catch (cause) {
      if (this.#outage.closing.aborted) return
      this.#log(live.job.id, cause)
      live.job = ended(live.job, end)
      this.#changed(live)
    }
  }

  #start(id: string): Promise<Job> {
    const edit = (job: Job) => (job.state === 'queued' && !this.#outage.closing.aborted ? started(job) : job)
    return this.#outage.outlast(() => this.#records.change(id, edit))
  }

  async #failed(live: Live, error: unknown): Promise<void> {
    this.#log(live.job.id, error)
    await this.fail(live, sentenceOf(error))
  }

  /** An engine that broke down is given the job once more. */
  async #draw(live: Live): Promise<Drawn> {
    try {
      return await this.#drawOnce(live)
    } catch (error) {
      const crashed = error instanceof EngineError && error.code === 'crashed'
      if (!crashed || live.stop.signal.aborted) throw error
      this.#log(live.job.id, error)
      const again = (job: Job) => (job.state === 'running' ? started(job) : job)
      await this.#outage.outlast(() => this.#records.change(live.job.id, again))
      return this.#drawOnce(live)
    }
  }

  async #drawOnce(live: Live): Promise<Drawn> {
    const { request } = live.job
    const { signal } = live.stop
    let since = performance.now()
    const onProgress = (progress: EngineProgress) => {
      if (signal.aborted) return
      // Drawing begins when the model is open.
      if (live.run?.opening !== undefined && progress.opening === undefined) since = performance.now()
      const { opening: _, ...run } = live.run ?? { since, step: 0, steps: 0 }
      live.run = { ...run, since, ...progress }
      this.#changed(live)
    }
    live.run = { since, step: 0, steps: 0 }
    this.#changed(live)
    const images = await this.#options.engine.generateImages(imagesRequest(request), { signal, onProgress })
    const drawnMs = Math.round(performance.now() - since)
    this.#estimates.measure(request, drawnMs / 1000)
    return { images, drawnMs }
  }

  async #keep(job: string, request: Request, images: EngineImage[], signal: AbortSignal): Promise<Picture[]> {
    for (const [index, { png }] of images.entries()) {
      signal.throwIfAborted()
      await this.#outage.outlast(() => this.#options.pictures.write(job, index, png), signal)
    }
    return images.map(({ png, width, height, nsfw }, index) => {
      return { ...noiseOf(request, index), index, width, height, bytes: png.length, nsfw }
    })
  }

  #log(id: string, error: unknown): void {
    this.#options.log(`queue: job ${id}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** What the job's author is told. */
function sentenceOf(error: unknown): string {
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
