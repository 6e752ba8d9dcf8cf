/** The one way to change a job: its record is stored first, and one change after another. */

import { UserError } from '../job/errors.ts'
import { isFinished, type Job } from '../job/job.ts'
import type { JobStore } from '../store/store.ts'

/** A job that is not finished, or whose end could not be stored yet. */
export interface Live {
  job: Job
  /** Takes it out of the line, and once it runs, stops it. */
  stop: AbortController
  /** Place in line as last announced. */
  position?: number
  /** What the engine said of it last; `since` in milliseconds, `steps` 0 until it says anything. */
  run?: { readonly since: number; readonly step: number; readonly steps: number; readonly preview?: Uint8Array }
}

export class Records {
  /** By id. Finished jobs are in the store alone. */
  readonly live = new Map<string, Live>()
  readonly #store: JobStore
  /** By id: the change that is being stored. */
  readonly #turns = new Map<string, Promise<void>>()

  constructor(store: JobStore) {
    this.#store = store
  }

  async get(id: string): Promise<Job | undefined> {
    return this.live.get(id)?.job ?? (await this.#store.get(id))
  }

  /**
   * Stores what `edit` makes of the job as it then stands; nothing is stored when it gives the same job back.
   * @throws UserError `gone`; StoreError
   */
  change(id: string, edit: (job: Job) => Job): Promise<Job> {
    return this.inTurn(id, async () => {
      const job = await this.get(id)
      if (!job) throw new UserError('gone', 'That job is no longer there; use /imagine to draw again.')
      const edited = edit(job)
      if (edited !== job) await this.#store.put(edited)
      const live = this.live.get(id)
      if (live) live.job = edited
      if (isFinished(edited)) this.live.delete(id)
      return edited
    })
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
