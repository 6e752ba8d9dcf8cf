/** Places in line: worked out once for everything that happens in one turn of the event loop, told where they matter. */

import type { Job, Progress } from '../job/job.ts'
import type { Estimates } from './estimates.ts'
import type { FairQueue } from './fairness.ts'
import { type Forecast, forecast } from './forecast.ts'
import { secondsLeft, waitProgress } from './progress.ts'
import type { Live, Records } from './records.ts'

/** In front every place is told; further back only when one of these is reached. */
const MILESTONES = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]

export class Positions {
  readonly #line: FairQueue
  readonly #records: Records
  readonly #estimates: Estimates
  readonly #tell: (job: Job, progress: Progress) => void
  #forecast: Map<string, Forecast> | undefined
  #soon: NodeJS.Immediate | undefined

  constructor(line: FairQueue, records: Records, estimates: Estimates, tell: (job: Job, progress: Progress) => void) {
    this.#line = line
    this.#records = records
    this.#estimates = estimates
    this.#tell = tell
  }

  progress({ job }: Live): Progress {
    return waitProgress(this.#places.get(job.id), this.#isKnown(job))
  }

  /** The line moved. */
  changed(): void {
    this.#forecast = undefined
    this.#atTurnsEnd()
  }

  close(): void {
    clearImmediate(this.#soon)
    this.#soon = undefined
  }

  get #places(): Map<string, Forecast> {
    this.#forecast ??= this.#newForecast()
    // Time goes on: what is worked out now holds for this turn.
    this.#atTurnsEnd()
    return this.#forecast
  }

  #atTurnsEnd(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined
      this.#announce()
      this.#forecast = undefined
    })
  }

  #announce(): void {
    this.#forecast ??= this.#newForecast()
    for (const [id, place] of this.#forecast) {
      const live = this.#records.live.get(id)
      if (live?.job.state !== 'queued' || milestone(live.position) === milestone(place.position)) continue
      live.position = place.position
      this.#tell(live.job, waitProgress(place, this.#isKnown(live.job)))
    }
  }

  #isKnown({ request }: Job): boolean {
    return this.#estimates.estimate(request) !== undefined
  }

  #newForecast(): Map<string, Forecast> {
    const { turns, running } = this.#line
    const msOf = (id: string) => {
      const live = this.#records.live.get(id)
      return 1000 * ((live && secondsLeft(live, this.#estimates)) ?? 0)
    }
    const open = this.#estimates.openModels
    const msToOpen = (model: string) => 1000 * this.#estimates.secondsToOpen(model)
    const places = forecast({ turns, running, now: performance.now(), msOf, open, msToOpen })
    // Whose turn it is already is still queued until its record says otherwise.
    if (running) places.set(running.id, { position: 1, doneIn: msOf(running.id) })
    return places
  }
}

function milestone(position: number | undefined): number | undefined {
  return position === undefined ? undefined : MILESTONES.find((milestone) => position <= milestone)
}
