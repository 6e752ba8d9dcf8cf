/** One engine process as its parent sees it: started, loaded, asked for pictures, ended. */

import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EngineError } from '../errors.ts'
import type { Catalog, EngineImage, GenerateOptions, ImagesRequest } from './engine.ts'
import type { LoadOptions, Order, Report, ReportedError } from './protocol.ts'

interface Settle<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

/** What listens for the reports on one request. */
interface Listener extends Settle<EngineImage[]> {
  readonly onProgress: GenerateOptions['onProgress']
}

export interface ChildListeners {
  readonly onNotice: (message: string) => void
  /** Models came or went, or became known better. */
  readonly onCatalog: (catalog: Catalog) => void
  /** A model was opened; `open` has every one that is. */
  readonly onOpened: (model: string, seconds: number, open: readonly string[]) => void
}

export class Child {
  /** Fulfils with what can be asked for once its own model is loaded. */
  readonly loaded: Promise<Catalog>
  /** Fulfils with how the process ended, in words. */
  readonly ended: Promise<string>
  readonly #process: ChildProcess
  readonly #listeners: ChildListeners
  #loading!: Settle<Catalog>
  readonly #requests = new Map<number, Listener>()
  #wasKilled = false
  #ending: string | undefined
  #lastId = 0

  constructor(options: LoadOptions, listeners: ChildListeners) {
    this.#listeners = listeners
    this.loaded = new Promise((resolve, reject) => {
      this.#loading = { resolve, reject }
    })
    this.#process = fork(fileURLToPath(new URL('./main.js', import.meta.url)), {
      serialization: 'advanced',
      execArgv: [],
      env: environment(),
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (error) => resolve(this.#end(error.message)))
      this.#process.once('exit', (code, signal) => resolve(this.#end(signal ?? `exit code ${code}`)))
    })
    this.#process.on('message', (report) => this.#hear(report as Report))
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

  generateImages(request: ImagesRequest, { signal, onProgress }: GenerateOptions): Promise<EngineImage[]> {
    const id = ++this.#lastId
    let cancel = () => {}
    const images = new Promise<EngineImage[]>((resolve, reject) => {
      this.#requests.set(id, { resolve, reject, onProgress })
      cancel = () => {
        this.#send({ type: 'cancel', id })
        reject(signal?.reason)
      }
    })
    signal?.addEventListener('abort', cancel, { once: true })
    this.#send({ type: 'generate', id, request, preview: onProgress !== undefined })
    return images.finally(() => {
      this.#requests.delete(id)
      signal?.removeEventListener('abort', cancel)
    })
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
    const { onNotice, onCatalog, onOpened } = this.#listeners
    if (report.type === 'notice') onNotice(report.message)
    else if (report.type === 'loaded') this.#loading.resolve(report.catalog)
    else if (report.type === 'catalog') onCatalog(report.catalog)
    else if (report.type === 'opened') onOpened(report.model, report.seconds, report.open)
    else if (report.type === 'notLoaded') this.#loading.reject(engineError(report.error))
    else this.#answer(report, this.#requests.get(report.id))
  }

  /** A request that was cancelled is no longer there to be told. */
  #answer(report: Extract<Report, { id: number }>, listener: Listener | undefined): void {
    if (report.type === 'progress') listener?.onProgress?.(report.progress)
    else if (report.type === 'done') listener?.resolve(report.images)
    else listener?.reject(engineError(report.error))
  }

  #end(how: string): string {
    this.#ending = how
    const error = this.#wasKilled ? stopped() : crashed(how)
    this.#loading.reject(error)
    for (const { reject } of this.#requests.values()) reject(error)
    return how
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

/** The engine opens model files from anywhere, so it is not given the bot's secrets; only the hub's are its own. */
const SECRET = /TOKEN|SECRET|PASSWORD|REDIS_URL/i

function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => name.startsWith('HF_') || !SECRET.test(name))
  return {
    ...Object.fromEntries(kept),
    // Without it glibc keeps what a large picture took: 250 MB in place of 86 MB after a session was released.
    MALLOC_TRIM_THRESHOLD_: '65536',
    ...libraryPath(),
  }
}

/** Where CUDA is often installed without being known to the loader, which reads this variable only when a process starts. */
const CUDA = ['/usr/local/cuda/lib64', '/usr/lib/wsl/lib']

function libraryPath(): NodeJS.ProcessEnv {
  const found = process.platform === 'linux' ? CUDA.filter((folder) => existsSync(folder)) : []
  if (found.length === 0) return {}
  return { LD_LIBRARY_PATH: [process.env.LD_LIBRARY_PATH, ...found].filter(Boolean).join(delimiter) }
}
