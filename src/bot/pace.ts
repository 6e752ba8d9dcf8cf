/** Which message may show progress next: one after another in each channel, within the platform's budget, what matters first. */

import type { Budget } from './budget.ts'

/** Lower goes first. */
export const IMPORTANCE = { start: 0, position: 1, preview: 2 } as const

export type Importance = (typeof IMPORTANCE)[keyof typeof IMPORTANCE]

interface Turn {
  readonly channel: string
  /** It may grow while the message waits. */
  readonly importance: () => Importance
  readonly begin: () => void
}

export class Pace {
  readonly #intervalMs: number
  readonly #budget: Budget | undefined
  /** Those that wait, in the order in which they came. */
  readonly #turns = new Set<Turn>()
  /** By channel: when its next turn is, by `performance.now()`. */
  readonly #nextAt = new Map<string, number>()
  readonly #drawing = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  /** @param intervalMs between two turns in one channel */
  constructor(intervalMs: number, budget?: Budget) {
    this.#intervalMs = intervalMs
    this.#budget = budget
  }

  /**
   * Draws when it is this message's turn.
   * @param signal gives up waiting; once `draw` has begun it does nothing
   * @throws the signal's reason, or what `draw` throws
   */
  async inTurn<T>(
    channel: string,
    importance: () => Importance,
    signal: AbortSignal,
    draw: () => Promise<T>,
  ): Promise<T> {
    await this.#turn(channel, importance, signal)
    try {
      return await draw()
    } finally {
      this.#drawing.delete(channel)
      this.#next()
    }
  }

  /** An answer goes out of turn, and what it spends is spent. */
  async outOfTurn<T>(channel: string, draw: () => Promise<T>): Promise<T> {
    this.#spend(channel)
    return draw()
  }

  #turn(channel: string, importance: () => Importance, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const giveUp = () => {
        this.#turns.delete(turn)
        reject(signal.reason)
      }
      const begin = () => {
        this.#turns.delete(turn)
        signal.removeEventListener('abort', giveUp)
        this.#drawing.add(channel)
        this.#spend(channel)
        resolve()
      }
      const turn = { channel, importance, begin }
      signal.addEventListener('abort', giveUp, { once: true })
      this.#turns.add(turn)
      this.#next()
    })
  }

  #spend(channel: string): void {
    this.#nextAt.set(channel, performance.now() + this.#intervalMs)
    this.#budget?.spend()
  }

  /** Begins every turn that has come, and looks again when the next one does. */
  #next(): void {
    clearTimeout(this.#timer)
    this.#forget()
    for (;;) {
      const now = performance.now()
      const ready = [...this.#turns].filter(
        ({ channel }) => !this.#drawing.has(channel) && this.#readyAt(channel) <= now,
      )
      if (ready.length === 0) break
      ready.reduce((first, turn) => (turn.importance() < first.importance() ? turn : first)).begin()
    }
    const times = [...this.#turns].filter(({ channel }) => !this.#drawing.has(channel))
    if (times.length === 0) return
    const wait = Math.min(...times.map(({ channel }) => this.#readyAt(channel))) - performance.now()
    this.#timer = setTimeout(() => this.#next(), Math.max(1, wait)).unref()
  }

  #readyAt(channel: string): number {
    return Math.max(this.#nextAt.get(channel) ?? 0, this.#budget?.readyAt(channel) ?? 0)
  }

  /** A channel whose last turn has nothing left to count. */
  #forget(): void {
    const now = performance.now()
    for (const [channel, at] of this.#nextAt) if (at <= now) this.#nextAt.delete(channel)
  }
}
