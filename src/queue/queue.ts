/** When a job may run, and what became of it. Every job passes here, and its record is always ahead of its message. */

import { EventEmitter } from 'node:events'
import { EngineError } from '../engine/errors.ts'
import type { EngineImage, EngineProgress } from '../engine/process/engine.ts'
import { UserError } from '../job/errors.ts'
import { isFinished, type Job, type Progress, type Reply } from '../job/job.ts'
import { FairQueue, RATE_INTERVAL_MS } from './fairness.ts'
import { type Forecast, forecast } from './forecast.ts'
import { checkLimits, guildOf, type Limits } from './limits.ts'
import { runProgress, secondsLeft, waitProgress } from './progress.ts'
import { type Live, Records } from './records.ts'
import { answered, deleted, type Ending, ended, interrupted, started, withoutReply } from './transitions.ts'
import { sentenceOf, Worker, type WorkerOptions } from './worker.ts'

/**
 * Somebody who ends the program takes no job down with it, however often, but a job that ends the program itself, as by all
 * the memory of a container, must not do so for ever.
 */
const MAX_ATTEMPTS = 20

export interface QueueEvents {
  /** A job's state, position, step or preview changed. Listeners must not throw. */
  change: [job: Job, progress: Progress]
}

export interface QueueOptions extends WorkerOptions {
  readonly limits: Limits
}

/** Nothing here is left to chance, so a job that runs again after a crash makes the very same pictures. */
export class JobQueue extends EventEmitter<QueueEvents> {
  readonly #options: QueueOptions
  readonly #records: Records
  readonly #line: FairQueue
  readonly #worker: Worker
  #announcing: NodeJS.Immediate | undefined
  #closed = false

  constructor(options: QueueOptions) {
    super()
    this.#options = options
    this.#records = new Records(options.jobs)
    this.#line = new FairQueue(options.limits.jobsPerMinute)
    this.#worker = new Worker(options)
  }

  /**
   * Stores a job and lines it up; when this resolves it survives `kill -9`.
   * @throws UserError `limit` when too many jobs of this author or this guild are waiting, in words; `unavailable` when it
   * could not be stored
   */
  async add(job: Job): Promise<Job> {
    if (this.#closed) throw new UserError('unavailable', 'Seedling is restarting; please ask again in a moment.')
    checkLimits(job, this.#waiting(), this.#options.limits)
    // It counts from here on, before anything is awaited: a burst cannot slip past the limits.
    const live: Live = { job, stop: new AbortController() }
    this.#records.live.set(job.id, live)
    try {
      await this.#asked(() => this.#options.jobs.put(job))
    } catch (error) {
      this.#records.live.delete(job.id)
      throw error
    }
    this.#lineUp(live)
    return job
  }

  /** The job as it stands now; without its pictures when they have expired. */
  get(id: string): Promise<Job | undefined> {
    return this.#asked(async () => {
      const job = await this.#records.get(id)
      if (!job || job.pictures.length === 0 || (await this.#options.pictures.has(id))) return job
      return { ...job, pictures: [] }
    })
  }

  /** What is known of it right now. */
  progress(id: string): Progress {
    const live = this.#records.live.get(id)
    if (!live) return {}
    return live.job.state === 'queued'
      ? waitProgress(this.#forecast().get(id), this.#worker.speed)
      : runProgress(live, this.#worker.speed)
  }

  /** Every job that waits or runs. */
  unfinished(): Job[] {
    return [...this.#records.live.values()].map(({ job }) => job).filter((job) => !isFinished(job))
  }

  /** Records the message that shows the job. @throws UserError `gone`, `unavailable` */
  placed(id: string, message: string): Promise<Job> {
    return this.#asked(() => this.#records.change(id, (job) => ({ ...job, place: { ...job.place, message } })))
  }

  /** Records a new way to the message that shows the job. @throws UserError `gone`, `unavailable` */
  replied(id: string, reply: Reply): Promise<Job> {
    return this.#asked(() => this.#records.change(id, (job) => ({ ...job, place: { ...job.place, reply } })))
  }

  /** The same way is over, unless there is a newer one. */
  async forgetReply(id: string, { until }: Reply): Promise<void> {
    await this.#asked(async () => {
      if (!(await this.#records.get(id))) return
      await this.#records.change(id, (job) => (job.place.reply?.until === until ? withoutReply(job) : job))
    })
  }

  /** Records that the last view reached its place. A job that is not finished has no last view yet. */
  async answered(id: string): Promise<void> {
    await this.#asked(async () => {
      if (!(await this.#records.get(id))) return
      await this.#records.change(id, (job) => (isFinished(job) ? answered(job) : job))
    })
  }

  /**
   * Ends a queued or running job; a finished one stays as it is. Who may do so is decided by `commands/`.
   * @throws UserError `gone`, `unavailable`
   */
  cancel(id: string): Promise<Job> {
    return this.#asked(async () => {
      const live = this.#records.live.get(id)
      const job = await this.#finish(id, { state: 'cancelled' })
      if (job.state === 'cancelled') live?.stop.abort(new Error('The job was cancelled.'))
      return job
    })
  }

  /**
   * Cancels it if need be, removes its pictures, and marks it deleted; it counts as unanswered again, until its message is
   * gone too.
   * @throws UserError `gone`, `unavailable`
   */
  async delete(id: string): Promise<Job> {
    await this.cancel(id)
    return this.#asked(async () => {
      await this.#options.pictures.remove(id)
      const job = await this.#records.change(id, deleted)
      this.emit('change', job, {})
      return job
    })
  }

  /**
   * After a start: lines up again what was queued or running, and announces everything that was not answered.
   * @returns all of those, oldest first
   * @throws StoreError
   */
  async recover(): Promise<Job[]> {
    await this.#worker.recallSpeed()
    const jobs = await this.#options.jobs.unanswered()
    const recovered = await Promise.all(jobs.map(({ id }) => this.#records.inTurn(id, () => this.#recover(id))))
    return recovered.filter((job) => job !== undefined)
  }

  /** Lets nothing new start, interrupts what runs (it stays queued in the store), and ends. */
  async close(): Promise<void> {
    this.#closed = true
    this.#line.close()
    clearImmediate(this.#announcing)
    for (const { job, stop } of this.#records.live.values()) {
      if (job.state !== 'running') continue
      stop.abort(new Error('Seedling is stopping.'))
      this.#records.change(job.id, interrupted).catch((error) => this.#log(job.id, error))
    }
    await this.#records.settled()
  }

  /** What began in this program needs no recovery. */
  async #recover(id: string): Promise<Job | undefined> {
    const job = await this.#options.jobs.get(id)
    if (!job || this.#records.live.has(id) || this.#closed) return undefined
    if (isFinished(job)) {
      this.emit('change', job, {})
      return job
    }
    const live: Live = { job: { ...job, state: 'queued' }, stop: new AbortController() }
    this.#records.live.set(id, live)
    if (job.state === 'running' && job.attempts >= MAX_ATTEMPTS) {
      void this.#fail(live, `Sorry, this was interrupted ${job.attempts} times and is given up; please try another.`)
    } else this.#lineUp(live)
    return live.job
  }

  #lineUp(live: Live): void {
    if (this.#closed) return
    const { job, stop } = live
    this.#line
      .add(job.id, guildOf(job), stop.signal, () => this.#run(live))
      .catch((error) => {
        if (!stop.signal.aborted) this.#log(job.id, error)
      })
      .finally(() => this.#announcePositions())
    this.#announcePositions()
  }

  async #run(live: Live): Promise<void> {
    // The line must not hear of an end that is meant for the run: the next job would start before the engine is free.
    live.stop = new AbortController()
    const { signal } = live.stop
    const { id, request } = live.job
    try {
      const job = await this.#records.change(id, (job) =>
        job.state === 'queued' && !this.#closed ? started(job) : job,
      )
      if (job.state !== 'running') return
      this.#announcePositions()
      const images = await this.#draw(live, signal)
      const pictures = await this.#worker.keep(id, request, images, signal)
      await this.#finish(id, { state: 'done', pictures })
    } catch (error) {
      if (!signal.aborted) {
        this.#log(id, error)
        await this.#fail(live, sentenceOf(error))
      }
    }
    // It may have been cancelled while its pictures were written.
    if (live.job.state === 'cancelled') await this.#options.pictures.remove(id)
  }

  /** An engine that broke down is given the job once more. */
  async #draw(live: Live, signal: AbortSignal): Promise<EngineImage[]> {
    try {
      return await this.#drawOnce(live, signal)
    } catch (error) {
      const crashed = error instanceof EngineError && error.code === 'crashed'
      if (!crashed || signal.aborted) throw error
      this.#log(live.job.id, error)
      await this.#records.change(live.job.id, (job) => (job.state === 'running' ? started(job) : job))
      return this.#drawOnce(live, signal)
    }
  }

  #drawOnce(live: Live, signal: AbortSignal): Promise<EngineImage[]> {
    const since = Date.now()
    const onProgress = (progress: EngineProgress) => {
      if (signal.aborted) return
      live.run = { ...live.run, since, ...progress }
      this.#announce(live)
    }
    live.run = { since, step: 0, steps: 0 }
    this.#announce(live)
    return this.#worker.draw(live.job.request, { signal, onProgress })
  }

  /** A failure is told even when it cannot be stored; the record is then kept here, and after a restart the job runs again. */
  async #fail(live: Live, error: string): Promise<void> {
    const end: Ending = { state: 'failed', error }
    try {
      await this.#finish(live.job.id, end)
    } catch (cause) {
      this.#log(live.job.id, cause)
      live.job = ended(live.job, end)
      this.#announce(live)
    }
  }

  async #finish(id: string, end: Ending): Promise<Job> {
    let changed = false
    const job = await this.#records.change(id, (job) => {
      changed = !isFinished(job)
      return changed ? ended(job, end) : job
    })
    if (changed) this.emit('change', job, {})
    return job
  }

  #waiting(): Job[] {
    return [...this.#records.live.values()].map(({ job }) => job).filter(({ state }) => state === 'queued')
  }

  #announce(live: Live): void {
    this.emit('change', live.job, runProgress(live, this.#worker.speed))
  }

  /** Tells those whose place in line changed, once for everything that happens in this turn of the event loop. */
  #announcePositions(): void {
    if (this.#closed) return
    this.#announcing ??= setImmediate(() => {
      this.#announcing = undefined
      for (const [id, place] of this.#forecast()) {
        const live = this.#records.live.get(id)
        if (live?.job.state !== 'queued' || live.position === place.position) continue
        live.position = place.position
        this.emit('change', live.job, waitProgress(place, this.#worker.speed))
      }
    })
  }

  #forecast(): Map<string, Forecast> {
    const msOf = (id: string) => {
      const live = this.#records.live.get(id)
      return 1000 * ((live && secondsLeft(live, this.#worker.speed)) ?? 0)
    }
    const { line } = this.#line
    const now = Date.now()
    const forecasts = forecast(line, { now, intervalMs: RATE_INTERVAL_MS, msOf })
    // Whose turn it is already is still queued until its record says otherwise.
    if (line.running) forecasts.set(line.running.id, { position: 1, doneAt: now + msOf(line.running.id) })
    return forecasts
  }

  /** Turns a store's failure into a sentence for whoever asked; the log gets the reason, which names paths. */
  async #asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof UserError) throw error
      this.#options.log(`queue: ${messageOf(error)}`)
      const sentence = 'Seedling cannot write its records just now, so nothing was done; please try again later.'
      throw new UserError('unavailable', sentence, { cause: error })
    }
  }

  #log(id: string, error: unknown): void {
    this.#options.log(`queue: job ${id}: ${messageOf(error)}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
