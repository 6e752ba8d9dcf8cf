/** The rooms that the playground leads to, with a queue in memory whose jobs go on when a test says so. */

import { EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import type { Rooms } from '../../src/bot/platform.ts'
import { Presenter } from '../../src/bot/presenter.ts'
import { Commands } from '../../src/commands/commands.ts'
import type { Job, Progress } from '../../src/job/job.ts'
import { noiseOf } from '../../src/job/request.ts'
import type { JobQueue, QueueEvents } from '../../src/queue/queue.ts'
import type { PictureStore } from '../../src/store/store.ts'
import { model } from '../fakes/engine.ts'

/** The page as `npm run build` makes it. */
export const pageFolder = fileURLToPath(new URL('../../dist/bot/playground/page', import.meta.url))

export class MemoryQueue extends EventEmitter<QueueEvents> implements JobQueue {
  readonly jobs = new Map<string, Job>()
  readonly pictures: PictureStore
  readonly #progress = new Map<string, Progress>()
  /** Told of every job that is lined up. */
  onAdded: (job: Job) => void = () => {}

  constructor(pictures: PictureStore) {
    super()
    this.pictures = pictures
  }

  async add(job: Job): Promise<Job> {
    this.#set(job, { position: this.#waiting().length + 1 })
    this.onAdded(job)
    return job
  }

  async get(id: string): Promise<Job | undefined> {
    return this.jobs.get(id)
  }

  progress(id: string): Progress {
    return this.#progress.get(id) ?? {}
  }

  async placed(id: string, message: string): Promise<Job> {
    const job = this.jobs.get(id)!
    const placed = { ...job, place: { ...job.place, message } }
    this.jobs.set(id, placed)
    return placed
  }

  async answered(id: string): Promise<void> {
    this.jobs.set(id, { ...this.jobs.get(id)!, answeredAt: Date.now() })
  }

  async cancel(id: string): Promise<Job> {
    return this.#set({ ...this.jobs.get(id)!, state: 'cancelled', finishedAt: Date.now() })
  }

  async delete(id: string): Promise<Job> {
    await this.pictures.remove(id)
    return this.#set({ ...this.jobs.get(id)!, deletedAt: Date.now() })
  }

  async recover(): Promise<Job[]> {
    return [...this.jobs.values()].filter(({ answeredAt }) => answeredAt === undefined)
  }

  async close(): Promise<void> {}

  /** The job is being drawn, and is this far. */
  run(id: string, step: number, steps: number, preview?: Uint8Array): void {
    const job = this.jobs.get(id)!
    const progress = { step, steps, etaSeconds: (steps - step) / 10, ...(preview && { preview }) }
    this.#set({ ...job, state: 'running', startedAt: job.startedAt ?? Date.now(), attempts: 1 }, progress)
  }

  async finish(id: string, draw: (job: Job, index: number) => Promise<Buffer> = square): Promise<void> {
    const job = this.jobs.get(id)!
    const { width, height, upscale, numImagesPerPrompt } = job.request
    const pictures = await Promise.all(
      Array.from({ length: numImagesPerPrompt }, async (_, index) => {
        const png = await draw(job, index)
        await this.pictures.write(id, index, png)
        const size = { width: width * upscale, height: height * upscale, bytes: png.length }
        return { ...noiseOf(job.request, index), index, ...size, nsfw: false }
      }),
    )
    const now = Date.now()
    this.#set({ ...job, state: 'done', startedAt: job.startedAt ?? now, finishedAt: now, pictures })
  }

  fail(id: string, error: string): void {
    this.#set({ ...this.jobs.get(id)!, state: 'failed', finishedAt: Date.now(), error })
  }

  #waiting(): Job[] {
    return [...this.jobs.values()].filter(({ state }) => state === 'queued')
  }

  #set(job: Job, progress: Progress = {}): Job {
    this.jobs.set(job.id, job)
    this.#progress.set(job.id, progress)
    this.emit('change', job, progress)
    return job
  }
}

class MemoryPictures implements PictureStore {
  readonly #pictures = new Map<string, Map<number, Buffer>>()

  async write(job: string, index: number, png: Uint8Array): Promise<void> {
    const pictures = this.#pictures.get(job) ?? new Map()
    this.#pictures.set(job, pictures.set(index, Buffer.from(png)))
  }

  async read(job: string, index: number): Promise<Buffer | undefined> {
    return this.#pictures.get(job)?.get(index)
  }

  async remove(job: string): Promise<void> {
    this.#pictures.delete(job)
  }
}

/** A plain picture whose colour comes from its seed. */
export async function square({ request }: Job, index: number): Promise<Buffer> {
  const { width, height, upscale } = request
  const seed = noiseOf(request, index).seed
  const background = { r: (seed * 53) % 256, g: (seed * 97) % 256, b: (seed * 193) % 256 }
  return sharp({ create: { width: width * upscale, height: height * upscale, channels: 3, background } })
    .png()
    .toBuffer()
}

export interface TestRooms extends Rooms {
  readonly queue: MemoryQueue
  /** What the operator was told. */
  readonly lines: string[]
}

export function createRooms(): TestRooms {
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  const pictures = new MemoryPictures()
  const queue = new MemoryQueue(pictures)
  const commands = new Commands(queue, model, { variationStrength: 0.25, maxSize: 128 })
  return { commands, queue, pictures, presenter: new Presenter(queue, log), log, lines }
}
