/** While the stores cannot be written, work that needs them waits here and is tried again: a job ends by its own fate only. */

import { setTimeout as delay } from 'node:timers/promises'
import { StoreError } from '../store/errors.ts'

const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 5000
const REPORT_AGAIN_MS = 60_000
/** So often one work may fail while the stores take everything else; then it is that work's own fault. */
const MAX_OWN_FAILURES = 5

export interface OutageOptions {
  readonly log: (line: string) => void
  /** Told when an outage begins and when it is over. */
  readonly onChange: () => void
  /** Writes something into every store. @throws StoreError */
  readonly probe: () => Promise<void>
}

export class Outage {
  readonly #options: OutageOptions
  readonly #closing = new AbortController()
  /** How many works wait for the stores. */
  #waiting = 0
  #pauseMs = FIRST_PAUSE_MS
  /** The pause that all of them share. */
  #pause: Promise<void> | undefined

  /** What the operator was told last, and when. */
  #reported = { message: '', at: 0 }

  constructor(options: OutageOptions) {
    this.#options = options
  }

  get isOn(): boolean {
    return this.#waiting > 0
  }

  /** Aborts at `close`: nothing is tried again. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /**
   * Does `work`, again and again until the stores let it.
   * @param signal gives up waiting
   * @throws what `work` throws when it is not for the stores, or for this work alone; the reason of `signal` or `closing`
   */
  async outlast<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    let waits = false
    try {
      for (let own = 0; ; ) {
        try {
          return await work()
        } catch (error) {
          if (!isPassing(error)) throw error
          if (!waits) this.#begin(error)
          waits = true
          own = (await this.#isOwnFault(error)) ? own + 1 : 0
          if (own === MAX_OWN_FAILURES) throw error
        }
        await this.#nextTry(signal)
      }
    } finally {
      if (waits) this.#end()
    }
  }

  /** Tells the operator of a failure that nothing waits for; the same one again only after a while. */
  report({ message }: Error): void {
    if (this.isOn || this.#isKnown(message)) return
    this.#log(message, message)
  }

  /** Whatever waits is given up. */
  close(): void {
    this.#closing.abort(new Error('Seedling is stopping.'))
  }

  #begin(error: StoreError): void {
    if (this.#waiting++ > 0) return
    const { message } = error
    this.#log(
      message,
      this.#isKnown(message) ? 'the line waits until that is over.' : `${message} The line waits until then.`,
    )
    this.#options.onChange()
  }

  #isKnown(message: string): boolean {
    return message === this.#reported.message && performance.now() - this.#reported.at < REPORT_AGAIN_MS
  }

  #log(message: string, line: string): void {
    this.#reported = { message, at: performance.now() }
    this.#options.log(`queue: ${line}`)
  }

  #end(): void {
    if (--this.#waiting > 0) return
    this.#pauseMs = FIRST_PAUSE_MS
    if (this.#closing.signal.aborted) return
    this.#options.log('queue: the line goes on: jobs and pictures can be written again.')
    this.#options.onChange()
  }

  /** Of a store that is full or away the rest says nothing: it may take what is small, or be back by now. */
  async #isOwnFault({ code }: StoreError): Promise<boolean> {
    if (code === 'full' || code === 'unreachable') return false
    try {
      await this.#options.probe()
      return true
    } catch {
      return false
    }
  }

  async #nextTry(signal: AbortSignal | undefined): Promise<void> {
    const either = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])])
    this.#pause ??= delay(this.#pauseMs, undefined, { ref: false }).then(() => {
      this.#pause = undefined
      this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS)
    })
    await Promise.race([this.#pause, aborted(either)])
  }
}

/** One that another program leads has nothing to wait for. */
function isPassing(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code !== 'lost'
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
