/** The line in front of the engine: one job after another, by turns, as soon as the rate limits let it start. */

import { type Entry, RATE_INTERVAL_MS, Turns } from './turns.ts'

/** The longest time that a timer can wait. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** It orders ids; what they stand for is known to whoever runs them. */
export class FairQueue {
  readonly #turns: Turns
  readonly #run: (id: string) => Promise<void>
  readonly #isOpen: (model: string) => boolean
  #running: Entry | undefined
  #ran: Promise<void> = Promise.resolve()
  #waking: NodeJS.Timeout | undefined
  #forgetting: NodeJS.Timeout | undefined
  #closed = false

  /**
   * @param jobsPerMinute how many jobs of one guild may start in any minute
   * @param run told whose turn it is; the next one's comes when it resolves. It must not reject.
   * @param isOpen whether a model is in memory, so that its jobs begin at once
   */
  constructor(jobsPerMinute: number, run: (id: string) => Promise<void>, isOpen: (model: string) => boolean) {
    this.#turns = new Turns(jobsPerMinute)
    this.#run = run
    this.#isOpen = isOpen
  }

  add(entry: Entry): void {
    if (this.#closed) return
    this.#turns.add(entry, performance.now())
    this.#startNext()
  }

  /** Takes a waiting job out of the line; false where it does not wait (any more). */
  remove(id: string): boolean {
    return this.#turns.remove(id)
  }

  /** Whose turn it is. */
  get running(): Entry | undefined {
    return this.#running
  }

  /** The order of those that wait, to be played through. */
  get turns(): Turns {
    return this.#turns.copy()
  }

  /** How many guilds are remembered. */
  get size(): number {
    return this.#turns.size
  }

  /** Nothing starts any more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#waking)
    clearTimeout(this.#forgetting)
  }

  /** Resolves when what runs has ended. */
  settled(): Promise<void> {
    return this.#ran
  }

  #startNext(): void {
    clearTimeout(this.#waking)
    if (this.#running || this.#closed) return
    const now = performance.now()
    const entry = this.#turns.next(now, this.#isOpen)
    if (entry) {
      this.#running = entry
      this.#ran = this.#run(entry.id).then(() => this.#finished(entry))
    } else if (this.#turns.freeAt !== undefined) {
      const delay = Math.min(Math.ceil(this.#turns.freeAt - now), MAX_DELAY_MS)
      this.#waking = setTimeout(() => this.#startNext(), delay)
    }
  }

  #finished(entry: Entry): void {
    this.#running = undefined
    this.#turns.finished(entry, performance.now())
    this.#startNext()
    if (!this.#closed) this.#forgetting ??= setTimeout(() => this.#forget(), RATE_INTERVAL_MS).unref()
  }

  #forget(): void {
    this.#forgetting = undefined
    this.#turns.forget(performance.now())
    if (this.#turns.size > 0) this.#forgetting = setTimeout(() => this.#forget(), RATE_INTERVAL_MS).unref()
  }
}
