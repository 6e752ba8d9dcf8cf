/** The whole program, wired once for `main` and for every test: its rooms open in one order, and end in one other. */

import type { Log, Platform } from './bot/platform.ts'
import { Presenter } from './bot/presenter.ts'
import type { Rooms } from './bot/rooms.ts'
import { Commands } from './commands/commands.ts'
import type { Engine } from './engine/process/engine.ts'
import type { Job } from './job/job.ts'
import type { Limits } from './queue/limits.ts'
import { JobQueue } from './queue/queue.ts'
import type { JobStore, PictureStore } from './store/store.ts'

/** What lies outside is opened by whoever wires the program; the signals give up a start. */
export interface ProgramOptions {
  readonly openJobs: (signal: AbortSignal) => Promise<JobStore>
  readonly openPictures: () => Promise<PictureStore>
  readonly startEngine: (signal: AbortSignal) => Promise<Engine>
  readonly limits: Limits
  /** How far a variation lies from its picture, 0..1. */
  readonly variationStrength: number
  /** The longest side that may be asked for, in pixels; twice the model's own unless set. */
  readonly maxSize?: number | undefined
  readonly log: Log
  /** Gives up the start; rejects with its `reason`. */
  readonly signal?: AbortSignal
}

type Stop = () => Promise<void> | void

/**
 * Opens the rooms; nobody is served until a platform starts. The engine loads beside the stores, so that a program that
 * waits for another one's jobs can take over at once.
 * @throws what the stores or the engine throw; what was open by then is closed
 */
export async function openProgram(options: ProgramOptions): Promise<Program> {
  const failing = new AbortController()
  const signal = AbortSignal.any([failing.signal, ...(options.signal ? [options.signal] : [])])
  const opening = [options.openJobs(signal), options.openPictures(), options.startEngine(signal)] as const
  try {
    const [jobs, pictures, engine] = await Promise.all(opening)
    return new Program(options, { jobs, pictures, engine })
  } catch (error) {
    failing.abort(error)
    const [jobs, pictures, engine] = await Promise.allSettled(opening)
    if (engine.status === 'fulfilled') await engine.value.stop()
    if (pictures.status === 'fulfilled') pictures.value.close()
    if (jobs.status === 'fulfilled') await jobs.value.close()
    throw error
  }
}

interface Outside {
  readonly jobs: JobStore
  readonly pictures: PictureStore
  readonly engine: Engine
}

export class Program {
  /** What platforms are made with. */
  readonly rooms: Rooms
  readonly jobs: JobStore
  readonly engine: Engine
  readonly #stops: Stop[]
  #recovered: Promise<Job[]> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: ProgramOptions, { jobs, pictures, engine }: Outside) {
    const { limits, variationStrength, maxSize, log } = options
    const queue = new JobQueue({ jobs, pictures, engine, limits, log })
    const presenter = new Presenter(queue, log)
    const commands = new Commands(queue, engine, { variationStrength, maxSize })
    this.rooms = { commands, queue, pictures, presenter, log }
    this.jobs = jobs
    this.engine = engine
    this.#stops = [() => jobs.close(), () => pictures.close(), () => engine.stop(), () => queue.close()]
  }

  /** From now on its jobs are drawn in it, also before it is started: a message can be edited without a connection. */
  add(platform: Platform): void {
    this.rooms.presenter.add(platform)
    this.#stops.push(() => platform.stop())
  }

  /**
   * Serves an added platform, and takes up its unanswered jobs. The first one lets the engine begin with what a restart left,
   * so all are added before.
   */
  async start(platform: Platform): Promise<void> {
    await platform.start()
    this.#recovered ??= this.rooms.queue.recover()
    for (const job of await this.#recovered) {
      if (job.place.platform === platform.name) this.rooms.presenter.resume(job)
    }
  }

  /** What is being drawn in a message is drawn; then nothing new comes in; then what runs goes back into the line. */
  stop(): Promise<void> {
    this.#stopping ??= stopAll([...this.#stops, () => this.rooms.presenter.stop()])
    return this.#stopping
  }
}

/** The last one first. */
async function stopAll(stops: readonly Stop[]): Promise<void> {
  for (const stop of stops.toReversed()) await stop()
}
