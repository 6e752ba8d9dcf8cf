/** One engine process as its parent sees it: started, loaded, asked for pictures, ended. */

import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { EngineError } from '../errors.ts'
import type { Catalog, EngineImage, GenerateOptions, ImagesRequest } from './engine.ts'
import { environmentOf } from './environment.ts'
import type { LoadOptions, Order, Report, ReportedError } from './protocol.ts'
import { type Patience, Watchdog } from './watchdog.ts'

interface Settle<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

/** What listens for the reports on one request. */
interface Listener extends Settle<EngineImage[]> {
  readonly request: ImagesRequest
  readonly onProgress: GenerateOptions['onProgress']
  /** When it showed its last sign of life; undefined before its first step, which waits for those before it. */
  steppedAt: number | undefined
}

export interface ChildListeners {
  readonly onNotice: (message: string) => void
  /** Models came or went, or became known better. */
  readonly onCatalog: (catalog: Catalog) => void
  /** All that are open now. */
  readonly onOpen: (models: readonly string[]) => void
  readonly onOpened: (model: string, seconds: number) => void
}

export class Child {
  /** Fulfils with what can be asked for once its own model is loaded. */
  readonly loaded: Promise<Catalog>
  /** Fulfils with how the process ended, in words. */
  readonly ended: Promise<string>
  readonly #process: ChildProcess
  readonly #listeners: ChildListeners
  #loading!: Settle<Catalog>
  /** Also those that were cancelled, until the process has left them. */
  readonly #requests = new Map<number, Listener>()
  readonly #patience: Patience
  readonly #watchdog = new Watchdog((ms) => this.#freeze(ms))
  #ended!: (how: string) => void
  #left: (() => void)[] = []
  #isLoaded = false
  #wasKilled = false
  #ending: string | undefined
  #lastId = 0

  constructor(options: LoadOptions, patience: Patience, listeners: ChildListeners) {
    this.#patience = patience
    this.#listeners = listeners
    this.loaded = new Promise((resolve, reject) => {
      this.#loading = { resolve, reject }
    })
    this.#process = fork(fileURLToPath(new URL('./main.js', import.meta.url)), {
      serialization: 'advanced',
      execArgv: [],
      env: environmentOf(process.env),
    })
    this.ended = new Promise((resolve) => {
      this.#ended = resolve
    })
    this.#process.once('error', (error) => this.#end(error.message))
    this.#process.once('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`))
    this.#process.on('message', (report) => this.#hear(report as Report))
    this.#watchdog.expect(patience.forLoading)
    this.#send({ type: 'load', options })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  get isRunning(): boolean {
    return this.#ending === undefined
  }

  /** Whether it was ended by `kill`, and so has not crashed. */
  get wasKilled(): boolean {
    return this.#wasKilled
  }

  /** Resolves when nothing is being worked on, also when the process ended. */
  async free(): Promise<void> {
    while (this.#requests.size > 0) await new Promise<void>((resolve) => this.#left.push(resolve))
  }

  generateImages(request: ImagesRequest, { signal, onProgress }: GenerateOptions): Promise<EngineImage[]> {
    const id = ++this.#lastId
    let cancel = () => {}
    const images = new Promise<EngineImage[]>((resolve, reject) => {
      this.#requests.set(id, { request, resolve, reject, onProgress, steppedAt: undefined })
      cancel = () => {
        this.#send({ type: 'cancel', id })
        reject(signal?.reason)
      }
    })
    signal?.addEventListener('abort', cancel, { once: true })
    this.#watchdog.expect(this.#patience.forStep(request))
    this.#send({ type: 'generate', id, request, preview: onProgress !== undefined })
    return images.finally(() => signal?.removeEventListener('abort', cancel))
  }

  /** Ends the process at once, even in the middle of a run: there is nothing in it to save. */
  async kill(): Promise<void> {
    this.#wasKilled = true
    this.#process.kill('SIGKILL')
    await this.ended
  }

  #send(order: Order): void {
    // A process that ended is told about by `ended`; what cannot reach it needs no second error.
    if (this.#process.connected) this.#process.send(order, () => {})
  }

  #hear(report: Report): void {
    const { onNotice, onCatalog, onOpen, onOpened } = this.#listeners
    if ('id' in report) this.#hearOf(report, this.#requests.get(report.id))
    else if (report.type === 'catalog') onCatalog(report.catalog)
    else if (report.type === 'open') onOpen(report.models)
    else if (report.type === 'opened') onOpened(report.model, report.seconds)
    else if (report.type === 'notice' || report.type === 'loading') {
      // What a model tells while a request waits for it is a sign too; with nothing to do, there is nothing to wait for.
      if (!this.#isLoaded || this.#requests.size > 0) this.#watchdog.expect(this.#patience.forLoading)
      if (report.type === 'notice') onNotice(report.message)
    } else {
      this.#watchdog.rest()
      this.#isLoaded = report.type === 'loaded'
      if (report.type === 'loaded') this.#loading.resolve(report.catalog)
      else this.#loading.reject(engineError(report.error))
    }
  }

  #hearOf(report: Extract<Report, { id: number }>, listener: Listener | undefined): void {
    // A process that was taken for dead may have said something before.
    if (!listener) return
    if (report.type === 'progress') {
      const isOpening = report.progress.opening !== undefined
      if (isOpening) this.#patience.forget(listener.request)
      else this.#measure(listener)
      this.#watchdog.expect(isOpening ? this.#patience.forLoading : this.#patience.forStep(listener.request))
      listener.onProgress?.(report.progress)
      return
    }
    this.#leave(report.id)
    if (report.type === 'done') listener.resolve(report.images)
    // One that was cancelled is settled already.
    else if (report.type === 'failed') listener.reject(engineError(report.error))
  }

  #measure(listener: Listener): void {
    const now = performance.now()
    if (listener.steppedAt !== undefined) this.#patience.measure(listener.request, now - listener.steppedAt)
    listener.steppedAt = now
  }

  #leave(id: number): void {
    this.#requests.delete(id)
    if (this.#requests.size > 0) return
    this.#watchdog.rest()
    for (const resolve of this.#left.splice(0)) resolve()
  }

  /** A process that has stopped hears no signal but this one, and one that hangs in a driver not even that. */
  #freeze(ms: number): void {
    this.#process.kill('SIGKILL')
    this.#end(`no sign of life for ${Math.round(ms / 1000)} s`)
  }

  #end(how: string): void {
    if (!this.isRunning) return
    this.#ending = how
    this.#watchdog.rest()
    const error = this.#wasKilled ? stopped() : crashed(how)
    this.#loading.reject(error)
    for (const [id, { reject }] of this.#requests) {
      reject(error)
      this.#leave(id)
    }
    this.#ended(how)
  }
}

export function stopped(): EngineError {
  return new EngineError('crashed', 'The engine was stopped; start it again.')
}

function crashed(how: string): EngineError {
  const advice =
    how === 'SIGKILL'
      ? 'if nobody killed it, memory ran out: draw smaller, or use a smaller model'
      : 'try again, and report it if it happens again'
  return new EngineError('crashed', `The engine ended in the middle of its work (${how}); ${advice}.`)
}

function engineError({ code, message }: ReportedError): EngineError {
  return new EngineError(code, message)
}
