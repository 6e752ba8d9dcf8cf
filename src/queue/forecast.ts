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
  /** How long a job takes at the engine, from now if it is there already. */
  readonly msOf: (id: string) => number
}

/** By id, for everything that waits. */
export function forecast({ turns, running, now, msOf }: ForecastOptions): Map<string, Forecast> {
  const forecasts = new Map<string, Forecast>()
  let time = now
  if (running) {
    time += msOf(running.id)
    turns.finished(running, time)
  }
  for (let position = 1; turns.freeAt !== undefined; position++) {
    time = Math.max(time, turns.freeAt)
    const next = turns.next(time)!
    time += msOf(next.id)
    forecasts.set(next.id, { position, doneIn: time - now })
    turns.finished(next, time)
  }
  return forecasts
}
