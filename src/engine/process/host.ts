/** The engine behind one promise: a child process that is started again after a crash, and makes one request at a time. */

import { setTimeout as delay } from 'node:timers/promises'
import PQueue from 'p-queue'
import { Child, type ChildListeners, stopped } from './child.ts'
import type { Catalog, Engine, EngineImage, GenerateOptions, ImagesRequest, Model } from './engine.ts'
import { EngineModels } from './engine-models.ts'
import type { LoadOptions } from './protocol.ts'

export interface EngineOptions extends LoadOptions {
  /** Told what a person who runs the program should know: which device was taken, that the engine was started again. */
  readonly log?: (line: string) => void
  /** Gives up loading; rejects with its `reason`. */
  readonly signal?: AbortSignal
}

/**
 * Starts the engine and loads the model.
 * @throws EngineError `model`, `device` or `crashed`, with the file and what to do
 */
export async function startEngine({ log = () => {}, signal, ...options }: EngineOptions): Promise<EngineHost> {
  signal?.throwIfAborted()
  const models = new EngineModels()
  const child = new Child(options, listenersOf(models, log))
  const abort = () => void child.kill()
  signal?.addEventListener('abort', abort)
  try {
    models.started(await child.loaded)
    return new EngineHost(options, log, child, models)
  } catch (error) {
    await child.kill()
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** Pauses before the second crash in a row is tried again, the third …, so that a crash that repeats leaves the machine free. */
const BACKOFF = [0, 1000, 2000, 5000, 15_000, 60_000]

export class EngineHost implements Engine {
  readonly #models: EngineModels
  readonly #options: LoadOptions
  readonly #log: (line: string) => void
  readonly #queue = new PQueue({ concurrency: 1 })
  readonly #stop = new AbortController()
  #child: Child
  #crashes = 0

  constructor(options: LoadOptions, log: (line: string) => void, child: Child, models: EngineModels) {
    this.#options = options
    this.#log = log
    this.#models = models
    this.#child = this.#watch(child)
  }

  get model(): Model {
    return this.catalog.models[0]!
  }

  get catalog(): Catalog {
    return this.#models.catalog
  }

  isOpen(model: string): boolean {
    return this.#models.isOpen(model)
  }

  secondsToOpen(model: string): number | undefined {
    return this.#models.secondsToOpen(model)
  }

  /** The process that runs now. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  generateImages(request: ImagesRequest, options: GenerateOptions = {}): Promise<EngineImage[]> {
    const { signal } = options
    return this.#queue.add(async () => {
      const child = await this.#running(signal)
      const images = await child.generateImages(request, options)
      this.#crashes = 0
      return images
    }, signal && { signal })
  }

  async stop(): Promise<void> {
    this.#stop.abort(stopped())
    await this.#child.kill()
    await this.#queue.onIdle()
  }

  /** A process that ends without being told to has crashed. */
  #watch(child: Child): Child {
    child.ended.then((how) => {
      if (!child.wasKilled) this.#crashed(`The engine ended (${how})`)
    })
    return child
  }

  #crashed(what: string): void {
    this.#crashes++
    const often = this.#crashes > 1 ? `, ${this.#crashes} times in a row` : ''
    const pause = this.#pause > 0 ? ` after a pause of ${this.#pause / 1000} s` : ''
    this.#log(`${what}${often}; the next picture starts it again${pause}.`)
  }

  get #pause(): number {
    return BACKOFF[Math.min(Math.max(this.#crashes - 1, 0), BACKOFF.length - 1)]!
  }

  /** The process with its model loaded, started anew where the last one ended. */
  async #running(signal: AbortSignal | undefined): Promise<Child> {
    this.#stop.signal.throwIfAborted()
    if (!this.#child.isRunning) {
      const stop = AbortSignal.any([this.#stop.signal, ...(signal ? [signal] : [])])
      await delay(this.#pause, undefined, { signal: stop }).catch(() => {})
      // Also where the pause was over just before: a process started now would have nobody to end it.
      stop.throwIfAborted()
      this.#child = this.#watch(new Child(this.#options, listenersOf(this.#models, this.#log)))
    }
    const child = this.#child
    try {
      this.#models.started(await child.loaded)
    } catch (error) {
      if (child.isRunning) {
        await child.kill()
        this.#crashed(`The engine could not be started again: ${(error as Error).message.replace(/\.$/, '')}`)
      }
      throw error
    }
    signal?.throwIfAborted()
    return child
  }
}

function listenersOf(models: EngineModels, onNotice: (message: string) => void): ChildListeners {
  return {
    onNotice,
    onCatalog: (catalog) => models.reread(catalog),
    onOpened: (model, seconds, open) => models.opened(model, seconds, open),
  }
}
