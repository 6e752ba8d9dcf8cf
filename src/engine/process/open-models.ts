/** The models that are open in this process: as many as a memory budget allows, the least recently used closed first. */

/** A model that was opened. */
export interface OpenModel {
  /** What its weights take in memory. */
  readonly bytes: number
  close(): Promise<void>
}

export interface OpenModelsOptions<Loaded extends OpenModel> {
  /** Bytes that all may take together. The one that is used is open, whatever it takes. */
  readonly memory: number
  readonly load: (name: string) => Promise<Loaded>
  /** What it is likely to take, known before it is opened. */
  readonly bytesOf: (name: string) => number
}

export class OpenModels<Loaded extends OpenModel> {
  readonly #options: OpenModelsOptions<Loaded>
  /** Least recently used first. */
  readonly #open = new Map<string, Loaded>()

  constructor(options: OpenModelsOptions<Loaded>) {
    this.#options = options
  }

  get names(): string[] {
    return [...this.#open.keys()]
  }

  has(name: string): boolean {
    return this.#open.has(name)
  }

  /**
   * The model, opened if need be; one call at a time, and whoever uses one has to be done with it before the next call.
   * @throws what `load` throws; then those that made room for it are closed already
   */
  async get(name: string): Promise<Loaded> {
    const known = this.#open.get(name)
    if (!known) await this.#makeRoom(this.#options.bytesOf(name))
    const model = known ?? (await this.#options.load(name))
    this.#open.delete(name)
    this.#open.set(name, model)
    return model
  }

  /** Closes the model, whose files are no longer what they were. */
  async forget(name: string): Promise<void> {
    const model = this.#open.get(name)
    this.#open.delete(name)
    await model?.close()
  }

  /** Before the new one is opened, since opening is when a model takes most. */
  async #makeRoom(bytes: number): Promise<void> {
    for (const [name, model] of [...this.#open]) {
      const taken = [...this.#open.values()].reduce((sum, open) => sum + open.bytes, 0)
      if (taken + bytes <= this.#options.memory) return
      this.#open.delete(name)
      await model.close()
    }
  }
}
