/** What a whole platform allows to be spent on progress: so many edits in so long, and none while it asks for a pause. */

const EVERYWHERE = ''

export class Budget {
  readonly #edits: number
  readonly #perMs: number
  /** When the latest edits were made, oldest first. */
  readonly #spent: number[] = []
  /** By channel: until when nothing but answers goes there. */
  readonly #held = new Map<string, number>()

  /** `edits` in any `perMs` milliseconds, answers counted in: they never wait, but progress makes room for them. */
  constructor(edits: number, perMs: number) {
    this.#edits = edits
    this.#perMs = perMs
  }

  spend(): void {
    const now = performance.now()
    while (this.#spent.length > 0 && this.#spent[0]! <= now - this.#perMs) this.#spent.shift()
    this.#spent.push(now)
  }

  /** What a platform's headers say: no progress for `ms`, in one channel or everywhere. */
  hold(ms: number, channel = EVERYWHERE): void {
    const now = performance.now()
    for (const [held, until] of this.#held) if (until <= now) this.#held.delete(held)
    this.#held.set(channel, Math.max(this.#held.get(channel) ?? 0, now + ms))
  }

  /** When progress may be shown in `channel`, by `performance.now()`; it may lie in the past. */
  readyAt(channel: string): number {
    const full = (this.#spent.at(-this.#edits) ?? Number.NEGATIVE_INFINITY) + this.#perMs
    return Math.max(full, this.#held.get(channel) ?? 0, this.#held.get(EVERYWHERE) ?? 0)
  }
}
