/** What the bot's process knows of the engine's models: which there are, which are open, how long each takes to open. */

import type { Catalog } from './engine.ts'

export class EngineModels {
  #startedWith: Catalog | undefined
  #catalog: Catalog = { models: [], loras: [], embeddings: [] }
  #open: ReadonlySet<string> = new Set()
  readonly #seconds = new Map<string, number>()

  get catalog(): Catalog {
    return this.#catalog
  }

  get open(): ReadonlySet<string> {
    return this.#open
  }

  /** The last time, also before the engine was started again. */
  secondsToOpen(model: string): number | undefined {
    return this.#seconds.get(model)
  }

  /** An engine was started, which gave this catalog: its own model is open, and no other. */
  started(catalog: Catalog): void {
    if (this.#startedWith === catalog) return
    this.#startedWith = catalog
    this.#catalog = catalog
    this.#open = new Set(catalog.models.slice(0, 1).map(({ name }) => name))
  }

  reread(catalog: Catalog): void {
    this.#catalog = catalog
  }

  opened(model: string, seconds: number): void {
    this.#seconds.set(model, seconds)
  }

  areOpen(models: readonly string[]): void {
    this.#open = new Set(models)
  }
}
