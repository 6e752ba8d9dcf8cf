/** Where each waiting job stands in line and when it will be done: the turns, played through on paper. */

import type { Entry, Turns } from './turns.ts'

export interface Forecast {
  /** 1 = next. */
  readonly position: number
  /** Milliseconds from now. */
  readonly doneIn: number
}

export interface ForecastOptions {
  /** A copy: it is used up. */
  readonly turns: Turns
  /** The job at the engine. */
  readonly running: Entry | undefined
  /** By the clock of the turns. */
  readonly now: number
  /** How long a job takes at the engine once its model is open, from now if it is there already. */
  readonly msOf: (id: string) => number
  /** The models that are open, the least recently used first. */
  readonly open: Iterable<string>
  /** How long a model takes to open. */
  readonly msToOpen: (model: string) => number
}

/** So many models stay open, as far as is known: as many as there are now. */
class Memory {
  readonly #open: string[]
  readonly #room: number

  constructor(open: Iterable<string>) {
    this.#open = [...open]
    this.#room = Math.max(1, this.#open.length)
  }

  readonly isOpen = (model: string): boolean => this.#open.includes(model)

  use(model: string): void {
    const place = this.#open.indexOf(model)
    if (place >= 0) this.#open.splice(place, 1)
    else if (this.#open.length === this.#room) this.#open.shift()
    this.#open.push(model)
  }
}

/** By id, for everything that waits. */
export function forecast({ turns, running, now, msOf, open, msToOpen }: ForecastOptions): Map<string, Forecast> {
  const forecasts = new Map<string, Forecast>()
  const memory = new Memory(open)
  let time = now
  if (running) {
    memory.use(running.model)
    time += msOf(running.id)
    turns.finished(running, time)
  }
  for (let position = 1; turns.freeAt !== undefined; position++) {
    time = Math.max(time, turns.freeAt)
    const next = turns.next(time, memory.isOpen)!
    time += msOf(next.id) + (memory.isOpen(next.model) ? 0 : msToOpen(next.model))
    memory.use(next.model)
    forecasts.set(next.id, { position, doneIn: time - now })
    turns.finished(next, time)
  }
  return forecasts
}
