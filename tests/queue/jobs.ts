/** Jobs as commands make them, and queues on a store of their own. */

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { isFinished, type Job, newJobId, type Progress } from '../../src/job/job.ts'
import type { Request } from '../../src/job/request.ts'
import { openProgram, type Program } from '../../src/program.ts'
import type { Limits } from '../../src/queue/limits.ts'
import type { JobQueue } from '../../src/queue/queue.ts'
import { openJobStore } from '../../src/store/jobs.ts'
import { openPictureStore } from '../../src/store/pictures.ts'
import type { JobStore, PictureStore } from '../../src/store/store.ts'
import { LedEngine } from './engine.ts'

export const request: Request = {
  prompt: 'a red apple',
  negativePrompt: '',
  seed: 7,
  variations: [],
  numInferenceSteps: 10,
  guidanceScale: 4,
  width: 64,
  height: 64,
  numImagesPerPrompt: 2,
  upscale: 1,
  transparent: false,
}

let made = 0

export function newJob({
  guild = 'g',
  author = 'a',
  ...rest
}: Partial<Omit<Job, 'author'>> & { guild?: string; author?: string } = {}): Job {
  return {
    id: newJobId(),
    state: 'queued',
    action: 'imagine',
    request,
    author: { id: author, name: author },
    place: { platform: 'test', guild, channel: 'c' },
    createdAt: Date.now() + made++,
    attempts: 0,
    pictures: [],
    ...rest,
  }
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'seedling-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export interface House {
  readonly program: Program
  readonly queue: JobQueue
  readonly engine: LedEngine
  readonly jobs: JobStore
  readonly pictures: PictureStore
  readonly log: string[]
  /** Every change so far. */
  readonly changes: { job: Job; progress: Progress }[]
  /** The job once it is in this state. */
  reached(id: string, state: Job['state']): Promise<Job>
  /** Ends as an orderly stop does. */
  stop(): Promise<void>
}

export interface HouseOptions {
  readonly dataDir?: string
  readonly limits?: Partial<Limits>
  readonly jobs?: (store: JobStore) => JobStore
  readonly pictures?: (store: PictureStore) => PictureStore
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const dataDir = options.dataDir ?? (await temporaryFolder())
  const log: string[] = []
  const write = (line: string) => log.push(line)
  const program = await openProgram({
    openJobs: async () => {
      const jobs = await openJobStore({ dataDir })
      return options.jobs?.(jobs) ?? jobs
    },
    openPictures: async () => {
      const pictures = await openPictureStore({ dataDir, days: 30, log: write })
      return options.pictures?.(pictures) ?? pictures
    },
    startEngine: async () => new LedEngine(),
    limits: { jobsPerMinute: 1000, waitingPerPerson: 100, waitingPerGuild: 100, ...options.limits },
    variationStrength: 0.25,
    log: write,
  })
  const stop = () => program.stop()
  onTestFinished(stop)
  const { queue, pictures } = program.rooms
  const changes: House['changes'] = []
  queue.on('change', (job, progress) => changes.push({ job, progress }))
  const reached = async (id: string, state: Job['state']) => {
    for (;;) {
      const job = await queue.get(id)
      if (job?.state === state) return job
      if (job && isFinished(job)) throw new Error(`The job is ${job.state}, not ${state}: ${job.error}`)
      await once(queue, 'change')
    }
  }
  return {
    program,
    queue,
    engine: program.engine as LedEngine,
    jobs: program.jobs,
    pictures,
    log,
    changes,
    reached,
    stop,
  }
}
