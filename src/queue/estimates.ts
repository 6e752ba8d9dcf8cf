/** How long jobs take: the time to open their models, and to draw. */

import type { Engine } from '../engine/process/engine.ts'
import type { Request } from '../job/request.ts'
import type { JobStore } from '../store/store.ts'
import { Speed } from './speed.ts'

export class Estimates {
  readonly #engine: Engine
  readonly #jobs: JobStore
  readonly #speed = new Speed()

  constructor(engine: Engine, jobs: JobStore) {
    this.#engine = engine
    this.#jobs = jobs
  }

  /** Knows from then on how fast the models were before the restart. */
  async recall(): Promise<void> {
    for (const { name, hash } of this.#engine.catalog.models) {
      const known = hash === '' ? undefined : await this.#jobs.getMeasure(measureOf(hash))
      if (known !== undefined) this.#speed.recall(name, known)
    }
  }

  /** What draws a request. */
  modelOf({ model }: Request): string {
    return model ?? this.#engine.model.name
  }

  /** Learns from a job that was drawn. */
  measure(request: Request, seconds: number): void {
    const name = this.modelOf(request)
    const measured = this.#speed.measure(name, request, seconds)
    const hash = this.#engine.catalog.models.find((model) => model.name === name)?.hash
    // A store that fails shows itself at the job's own record.
    if (hash) this.#jobs.putMeasure(measureOf(hash), measured).catch(() => {})
  }

  /** Seconds at the engine once the model is open; nothing before its first measure. */
  estimate(request: Request): number | undefined {
    return this.#speed.estimate(this.modelOf(request), request)
  }

  get openModels(): ReadonlySet<string> {
    return this.#engine.openModels
  }

  /** Seconds, as the last time; 0 before. */
  secondsToOpen(model: string): number {
    return this.#engine.secondsToOpen(model) ?? 0
  }
}

function measureOf(hash: string): string {
  return `seconds per pixel and step: ${hash}`
}
