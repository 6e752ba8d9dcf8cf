/** The one way to change a job: its record is stored first, and one change after another. */

import { JOB_GONE, UserError } from '../job/errors.ts'
import { isFinished, type Job } from '../job/job.ts'
import type { JobStore } from '../store/store.ts'
import { Waiting } from './limits.ts'
import { type Ending, ended, withoutDeadReply } from './transitions.ts'

/** A job that is not finished, or whose end could not be stored yet. */
export interface Live {
  job: Job
  /** Stops it at the engine. */
  readonly stop: AbortController
  /** Place in line as last announced. */
  position?: number
  /** What the engine said of it last; `since` by `performance.now()`, `steps` 0 until it says anything. */
  run?: {
    readonly since: number
    readonly step: number
    readonly steps: number
    readonly preview?: Uint8Array
    /** The model that is being opened for it. */
    readonly opening?: string
  }
}

export class Records {
  /** Who has jobs waiting. */
  readonly waiting = new Waiting()
  readonly #live = new Map<string, Live>()
  readonly #store: JobStore
  readonly #finished: (job: Job) => void
  /** By id: the change that is being stored. */
  readonly #turns = new Map<string, Promise<void>>()

  /** @param finished told of every end, once that is stored */
  constructor(store: JobStore, finished: (job: Job) => void) {
    this.#store = store
    this.#finished = finished
  }

  /** By id. Finished jobs are in the store alone. */
  get live(): ReadonlyMap<string, Live> {
    return this.#live
  }

  /** Keeps a job that is not finished at hand; it counts from here on. */
  enter(job: Job): Live {
    const live = { job, stop: new AbortController() }
    this.#live.set(job.id, live)
    if (job.state === 'queued') this.waiting.add(job)
    return live
  }

  /** As if it had never entered. */
  leave({ job }: Live): void {
    this.#live.delete(job.id)
    if (job.state === 'queued') this.waiting.remove(job)
  }

  async get(id: string): Promise<Job | undefined> {
    return this.#live.get(id)?.job ?? (await this.#store.get(id))
  }

  /**
   * Stores what `edit` makes of the job as it then stands; nothing is stored when it gives the same job back.
   * @throws UserError `gone`; StoreError
   */
  change(id: string, edit: (job: Job) => Job): Promise<Job> {
    return this.inTurn(id, async () => {
      const job = await this.get(id)
      if (!job) throw new UserError('gone', JOB_GONE)
      const edited = withoutDeadReply(edit(job))
      if (edited !== job) await this.#store.put(edited)
      const live = this.#live.get(id)
      if (live) this.#become(live, edited)
      return edited
    })
  }

  /** Ends a job; a finished one stays as it is. @throws UserError `gone`; StoreError */
  async finish(id: string, end: Ending): Promise<Job> {
    let changed = false
    const job = await this.change(id, (job) => {
      changed = !isFinished(job)
      return changed ? ended(job, end) : job
    })
    if (changed) this.#finished(job)
    return job
  }

  #become(live: Live, job: Job): void {
    this.leave(live)
    live.job = job
    if (isFinished(job)) return
    this.#live.set(job.id, live)
    if (job.state === 'queued') this.waiting.add(job)
  }

  /** Does `work` when all changes of the job so far are stored. */
  inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#turns.get(id) ?? Promise.resolve()).then(work)
    const turn = result.then(
      () => {},
      () => {},
    )
    this.#turns.set(id, turn)
    turn.then(() => {
      if (this.#turns.get(id) === turn) this.#turns.delete(id)
    })
    return result
  }

  /** Resolves when every change so far is stored or has failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#turns.values())
  }
}
