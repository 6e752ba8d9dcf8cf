/** When a job may run, and what became of it. Every job passes here, and its record is always ahead of its message. */

import { EventEmitter } from 'node:events'
import { UserError } from '../job/errors.ts'
import { isFinished, type Job, type Progress, REPLY_MS, type Reply } from '../job/job.ts'
import { StoreError } from '../store/errors.ts'
import { Estimates } from './estimates.ts'
import { FairQueue } from './fairness.ts'
import { guildOf, type Limits, personOf } from './limits.ts'
import { Outage } from './outage.ts'
import { Positions } from './positions.ts'
import { runProgress } from './progress.ts'
import { type Live, Records } from './records.ts'
import { again, answered, deleted, ended, interrupted, placed, withoutReply } from './transitions.ts'
import { Worker, type WorkerOptions } from './worker.ts'

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
  readonly #outage: Outage
  readonly #line: FairQueue
  readonly #estimates: Estimates
  readonly #worker: Worker
  readonly #positions: Positions
  /** Jobs with a reply that will be dead, oldest first: when, by `performance.now()`. */
  readonly #replies = new Map<string, number>()
  readonly #forgetting: NodeJS.Timeout
  #closed = false

  constructor(options: QueueOptions) {
    super()
    const { jobs, pictures, engine, log, limits } = options
    const tell = (job: Job, progress: Progress) => this.emit('change', job, progress)
    const tellOf = (live: Live) => tell(live.job, this.#progress(live))
    this.#options = options
    this.#records = new Records(jobs, (job) => tell(job, {}))
    this.#outage = new Outage({
      log,
      onChange: () => this.#records.live.forEach(tellOf),
      probe: async () => void (await Promise.all([jobs.probe(), pictures.probe()])),
    })
    this.#estimates = new Estimates(engine, jobs)
    this.#worker = new Worker(options, this.#records, this.#estimates, this.#outage, tellOf)
    const isOpen = (model: string) => engine.openModels.has(model)
    this.#line = new FairQueue(limits.jobsPerMinute, (id) => this.#run(id), isOpen)
    this.#positions = new Positions(this.#line, this.#records, this.#estimates, tell)
    this.#forgetting = setInterval(() => this.#forgetDeadReplies(), REPLY_MS / 15).unref()
    jobs.lost.addEventListener('abort', () => this.#end(), { once: true })
  }

  /**
   * Stores a job and lines it up; when this resolves it survives `kill -9`.
   * @throws UserError `limit` when too many jobs of this author or too many people of this guild are waiting, in words;
   * `unavailable` when it could not be stored
   */
  async add(job: Job): Promise<Job> {
    if (this.#closed) throw new UserError('unavailable', 'Seedling is restarting; please ask again in a moment.')
    this.#records.waiting.check(job, this.#options.limits)
    // It counts from here on, before anything is awaited: a burst cannot slip past the limits.
    const live = this.#records.enter(job)
    try {
      await this.#asked(() => this.#options.jobs.put(job))
    } catch (error) {
      this.#records.leave(live)
      this.#withdraw(job)
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
    return live ? this.#progress(live) : {}
  }

  /** Every job that waits or runs. */
  unfinished(): Job[] {
    return [...this.#records.live.values()].map(({ job }) => job).filter((job) => !isFinished(job))
  }

  /** Whether it waits or runs. */
  isUnfinished(id: string): boolean {
    const live = this.#records.live.get(id)
    return live !== undefined && !isFinished(live.job)
  }

  /**
   * Records the message that shows the job; while the store is away it is known here, and recorded as soon as that can be.
   * @throws UserError `gone`; Error at a stop
   */
  async placed(id: string, message: string): Promise<Job> {
    const store = () => this.#records.change(id, (job) => placed(job, message))
    try {
      return await store()
    } catch (error) {
      const live = this.#records.live.get(id)
      if (!(error instanceof StoreError) || !live) return this.#outage.outlast(store)
      live.job = placed(live.job, message)
      this.#outage.outlast(store).catch((error) => this.#log(id, error))
      // Heard once it is followed.
      setImmediate(() => this.emit('change', live.job, this.#progress(live)))
      return live.job
    }
  }

  /** Records a new way to the message that shows the job. @throws UserError `gone`, `unavailable` */
  replied(id: string, reply: Reply): Promise<Job> {
    return this.#asked(() => this.#records.change(id, (job) => ({ ...job, place: { ...job.place, reply } })))
  }

  /** The same way is over, unless there is a newer one. */
  async forgetReply(id: string, { until }: Reply): Promise<void> {
    await this.#outage.outlast(async () => {
      if (!(await this.#records.get(id))) return
      await this.#records.change(id, (job) => (job.place.reply?.until === until ? withoutReply(job) : job))
    })
  }

  /** Records that the last view reached its place, as soon as the store lets it. @throws Error at a stop */
  async answered(id: string): Promise<void> {
    await this.#outage.outlast(async () => {
      if (await this.#records.get(id)) await this.#records.change(id, answered)
    })
  }

  /**
   * Ends a queued or running job; a finished one stays as it is. Who may do so is decided by `commands/`.
   * @throws UserError `gone`, `unavailable`
   */
  cancel(id: string): Promise<Job> {
    return this.#asked(async () => {
      const live = this.#records.live.get(id)
      const job = await this.#records.finish(id, { state: 'cancelled' })
      if (job.state !== 'cancelled') return job
      if (this.#line.remove(id)) this.#positions.changed()
      else live?.stop.abort(new Error('The job was cancelled.'))
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
    await this.#estimates.recall()
    const jobs = await this.#options.jobs.unanswered()
    const recovered = await Promise.all(jobs.map(({ id }) => this.#records.inTurn(id, () => this.#recover(id))))
    return recovered.filter((job) => job !== undefined)
  }

  /** Lets nothing new start, interrupts what runs (it stays queued in the store), and ends. */
  async close(): Promise<void> {
    for (const { job } of this.#end()) {
      this.#records.change(job.id, interrupted).catch((error) => this.#log(job.id, error))
    }
    // A picture that is being written is written, or the folder would change after the end.
    await this.#line.settled()
    await this.#records.settled()
  }

  /** Everything stops where it stands. @returns what ran */
  #end(): Live[] {
    const running = [...this.#records.live.values()].filter(({ job }) => job.state === 'running')
    this.#closed = true
    this.#outage.close()
    this.#line.close()
    this.#positions.close()
    clearInterval(this.#forgetting)
    for (const { stop } of running) stop.abort(this.#outage.closing.reason)
    return running
  }

  /** What began in this program needs no recovery. */
  async #recover(id: string): Promise<Job | undefined> {
    const job = await this.#options.jobs.get(id)
    if (!job || this.#records.live.has(id) || this.#closed) return undefined
    if (isFinished(job) && !(await this.#lacksPictures(job))) {
      this.emit('change', job, {})
      return job
    }
    const live = this.#records.enter(again(job))
    if (job.state === 'running' && job.attempts >= MAX_ATTEMPTS) {
      void this.#worker.fail(
        live,
        `Sorry, this was interrupted ${job.attempts} times and is given up; please try another.`,
      )
    } else this.#lineUp(live)
    return live.job
  }

  /** Another machine drew it, and went before it could show it. */
  async #lacksPictures({ id, state, pictures, deletedAt }: Job): Promise<boolean> {
    if (state !== 'done' || deletedAt !== undefined || pictures.length === 0) return false
    return !(await this.#options.pictures.has(id))
  }

  #lineUp({ job }: Live): void {
    if (this.#closed) return
    if (job.place.reply !== undefined) this.#replies.set(job.id, performance.now() + REPLY_MS)
    const model = this.#estimates.modelOf(job.request)
    this.#line.add({ id: job.id, guild: guildOf(job), person: personOf(job), model })
    this.#positions.changed()
  }

  async #run(id: string): Promise<void> {
    const live = this.#records.live.get(id)
    this.#positions.changed()
    if (live) await this.#worker.run(live)
    if (!this.#closed) this.#positions.changed()
  }

  #progress(live: Live): Progress {
    const progress = live.job.state === 'queued' ? this.#positions.progress(live) : runProgress(live, this.#estimates)
    return this.#outage.isOn ? { ...progress, paused: true } : progress
  }

  /** Who asked was told that nothing was done, but a store that failed may have taken the job all the same. */
  #withdraw(job: Job): void {
    const withdrawn: Job = { ...ended(job, { state: 'cancelled' }), answeredAt: Date.now() }
    this.#outage.outlast(() => this.#options.jobs.put(withdrawn)).catch((error) => this.#log(job.id, error))
  }

  /** Also of jobs that were finished long ago and could not be shown yet. */
  #forgetDeadReplies(): void {
    for (const [id, deadAt] of this.#replies) {
      if (deadAt > performance.now()) return
      this.#replies.delete(id)
      // A click may have brought a newer way, which lives on: each change of a record drops what is dead.
      this.#records.change(id, (job) => job).catch((error) => this.#log(id, error))
    }
  }

  /** Turns a store's failure into a sentence for whoever asked; the log gets the reason, which names paths. */
  async #asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof UserError) throw error
      this.#outage.report(error as Error)
      const sentence = 'Seedling cannot write its records just now, so nothing was done; please try again later.'
      throw new UserError('unavailable', sentence, { cause: error })
    }
  }

  #log(id: string, error: unknown): void {
    if (!this.#closed) this.#options.log(`queue: job ${id}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
