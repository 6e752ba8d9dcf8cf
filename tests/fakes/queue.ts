/** A queue whose jobs do what a test says, and a picture store in memory. */

import { EventEmitter, once } from 'node:events'
import { UserError } from '../../src/job/errors.ts'
import type { Job, Progress } from '../../src/job/job.ts'
import { noiseOf } from '../../src/job/request.ts'
import type { JobQueue, QueueEvents } from '../../src/queue/queue.ts'
import type { PictureStore } from '../../src/store/store.ts'

export class FakeQueue extends EventEmitter<QueueEvents> implements JobQueue {
  readonly jobs = new Map<string, Job>()
  readonly pictures = new FakePictures()
  /** When set, no job is taken. */
  refusal: string | undefined
  readonly #records = new EventEmitter()
  readonly #progress = new Map<string, Progress>()

  /** The job that was added last. */
  get latest(): Job {
    return [...this.jobs.values()].at(-1)!
  }

  async add(job: Job): Promise<Job> {
    if (this.refusal !== undefined) throw new UserError('limit', this.refusal)
    this.jobs.set(job.id, job)
    this.#progress.set(job.id, { position: this.jobs.size, etaSeconds: 12 })
    return job
  }

  async get(id: string): Promise<Job | undefined> {
    return this.jobs.get(id)
  }

  progress(id: string): Progress {
    return this.#progress.get(id) ?? {}
  }

  async placed(id: string, message: string): Promise<Job> {
    const job = this.#job(id)
    return this.#put({ ...job, place: { ...job.place, message } })
  }

  async answered(id: string): Promise<void> {
    this.#put({ ...this.#job(id), answeredAt: Date.now() })
  }

  /** Resolves when the record of a job is as asked for. */
  async until(id: string, asked: (job: Job) => boolean): Promise<Job> {
    while (!asked(this.#job(id))) await once(this.#records, id)
    return this.#job(id)
  }

  async cancel(id: string): Promise<Job> {
    return this.#change({ ...this.#job(id), state: 'cancelled', finishedAt: 2000 })
  }

  async delete(id: string): Promise<Job> {
    await this.pictures.remove(id)
    const { state } = this.#job(id)
    const ended = state === 'queued' || state === 'running' ? 'cancelled' : state
    return this.#change({ ...this.#job(id), state: ended, pictures: [], deletedAt: Date.now() })
  }

  async recover(): Promise<Job[]> {
    return [...this.jobs.values()].filter(({ answeredAt }) => answeredAt === undefined)
  }

  async close(): Promise<void> {}

  /** The job runs, and so much of it is done. */
  runs(id: string, step: number, steps: number): void {
    this.#progress.set(id, { step, steps, etaSeconds: 3 })
    this.#change({ ...this.#job(id), state: 'running', startedAt: 1000 })
  }

  /** The job has its pictures. */
  async finishes(id: string): Promise<void> {
    const job = this.#job(id)
    const { numImagesPerPrompt, width, height, upscale } = job.request
    const size = { width: width * upscale, height: height * upscale, bytes: 8, nsfw: false }
    const pictures = Array.from({ length: numImagesPerPrompt }, (_, index) => ({
      ...noiseOf(job.request, index),
      ...size,
      index,
    }))
    for (const { index } of pictures) await this.pictures.write(id, index, Buffer.from(`picture ${index} of ${id}`))
    this.#change({ ...job, state: 'done', startedAt: 1000, finishedAt: 3500, pictures })
  }

  fails(id: string, error: string): void {
    this.#change({ ...this.#job(id), state: 'failed', startedAt: 1000, finishedAt: 2000, error })
  }

  #job(id: string): Job {
    return this.jobs.get(id)!
  }

  #put(job: Job): Job {
    this.jobs.set(job.id, job)
    this.#records.emit(job.id)
    return job
  }

  #change(job: Job): Job {
    this.#put(job)
    this.emit('change', job, this.progress(job.id))
    return job
  }
}

export class FakePictures implements PictureStore {
  readonly #files = new Map<string, Buffer>()

  async write(job: string, index: number, png: Uint8Array): Promise<void> {
    this.#files.set(`${job}/${index}`, Buffer.from(png))
  }

  async read(job: string, index: number): Promise<Buffer | undefined> {
    return this.#files.get(`${job}/${index}`)
  }

  async remove(job: string): Promise<void> {
    for (const name of this.#files.keys()) if (name.startsWith(`${job}/`)) this.#files.delete(name)
  }
}
