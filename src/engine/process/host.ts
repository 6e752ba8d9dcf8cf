/** The engine behind one promise: a child process that is started again after a crash, and makes one request at a time. */

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import PQueue from 'p-queue'
import { Child, type ChildListeners, stopped } from './child.ts'
import type { Catalog, Engine, EngineImage, GenerateOptions, ImagesRequest, Model } from './engine.ts'
import { EngineModels } from './engine-models.ts'
import type { LoadOptions } from './protocol.ts'
import { Patience } from './watchdog.ts'

export interface EngineOptions extends LoadOptions {
  /** Told what a person who runs the program should know: which device was taken, that the engine was started again. */
  readonly log?: (line: string) => void
  /** Gives up loading; rejects with its `reason`. */
  readonly signal?: AbortSignal
  /**
   * Seconds that a picture's step may take at least before the engine counts as frozen and is started again: more where
   * steps are measured to take long, twenty times as much before any was measured, sixty times while a model is loaded.
   */
  readonly timeout?: number
}

const TIMEOUT_S = 30

/**
 * Starts the engine and loads the model.
 * @throws EngineError `model`, `device` or `crashed`, with the file and what to do
 */
export async function startEngine(options: EngineOptions): Promise<EngineHost> {
  const { log = () => {}, signal, timeout = TIMEOUT_S, ...load } = options
  signal?.throwIfAborted()
  const patience = new Patience(1000 * timeout)
  const models = new EngineModels()
  const start = () => new Child(load, patience, listenersOf(models, log))
  const child = start()
  const abort = () => void child.kill()
  signal?.addEventListener('abort', abort)
  try {
    models.started(await child.loaded)
    return new EngineHost(start, log, child, models)
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
  readonly #start: () => Child
  readonly #log: (line: string) => void
  readonly #queue = new PQueue({ concurrency: 1 })
  readonly #stop = new AbortController()
  #child: Child
  #crashes = 0

  constructor(start: () => Child, log: (line: string) => void, child: Child, models: EngineModels) {
    this.#start = start
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

  get openModels(): ReadonlySet<string> {
    return this.#models.open
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

  /** The process with its model loaded and nothing to do, started anew where the last one ended. */
  async #running(signal: AbortSignal | undefined): Promise<Child> {
    for (;;) {
      this.#stop.signal.throwIfAborted()
      if (!this.#child.isRunning) await this.#startAgain(signal)
      const child = this.#child
      await unlessAborted(this.#loaded(child), signal)
      // What was cancelled is left at the next step, or by a process that is ended because it never comes there.
      await unlessAborted(child.free(), signal)
      if (child.isRunning) return child
    }
  }

  async #startAgain(signal: AbortSignal | undefined): Promise<void> {
    const stop = AbortSignal.any([this.#stop.signal, ...(signal ? [signal] : [])])
    await delay(this.#pause, undefined, { signal: stop }).catch(() => {})
    // Also where the pause was over just before: a process started now would have nobody to end it.
    stop.throwIfAborted()
    this.#child = this.#watch(this.#start())
  }

  async #loaded(child: Child): Promise<void> {
    try {
      this.#models.started(await child.loaded)
    } catch (error) {
      if (child.isRunning) {
        await child.kill()
        this.#crashed(`The engine could not be started again: ${(error as Error).message.replace(/\.$/, '')}`)
      }
      throw error
    }
  }
}

function listenersOf(models: EngineModels, onNotice: (message: string) => void): ChildListeners {
  return {
    onNotice,
    onCatalog: (catalog) => models.reread(catalog),
    onOpen: (open) => models.areOpen(open),
    onOpened: (model, seconds) => models.opened(model, seconds),
  }
}

/** Nobody waits for what they have given up; it goes on by itself. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return work
  work.catch(() => {})
  const over = new AbortController()
  try {
    if (!signal.aborted) await Promise.race([work, once(signal, 'abort', { signal: over.signal })])
  } finally {
    over.abort()
  }
  signal.throwIfAborted()
}
