/** The pages that listen: one server-sent event stream each, which carries the newest view of every job, in order. */

import { UserError } from '../../job/errors.ts'
import type { Author } from '../../job/job.ts'
import type { Events } from './message.ts'

/** A browser opens six connections to one host; two are left for everything else. */
const MAX_PER_VISITOR = 4
const MAX_IN_ALL = 256
/** Proxies close what stays silent for a minute. */
const HEARTBEAT_MS = 25_000

export interface StreamOptions {
  readonly visitor: Author
  /** Where it listens, as limits count it. */
  readonly address: string
  /** The jobs that the page knows. */
  readonly jobs: readonly string[]
}

export class Streams {
  readonly #open = new Set<Stream>()
  readonly #perAddress: number

  /** @param perAddress how many may listen from one address */
  constructor(perAddress: number) {
    this.#perAddress = perAddress
  }

  /** @throws UserError `limit` where too many are open already */
  connect(options: StreamOptions): Stream {
    const open = [...this.#open]
    const mine = open.filter(({ visitor }) => visitor.id === options.visitor.id)
    if (mine.length >= MAX_PER_VISITOR) throw new UserError('limit', 'Too many pages are open; close one.')
    const near = open.filter(({ address }) => address === options.address)
    if (near.length >= this.#perAddress || open.length >= MAX_IN_ALL) {
      throw new UserError('limit', 'Too many people have this page open; come back in a while.')
    }
    const stream: Stream = new Stream(options, () => this.#open.delete(stream))
    this.#open.add(stream)
    return stream
  }

  /** The pages that show what happens in a visitor's chat. */
  of(visitor: string): Stream[] {
    return [...this.#open].filter((stream) => stream.visitor.id === visitor)
  }

  endAll(): void {
    for (const stream of this.#open) stream.end()
  }
}

/** Keeps one event a job while the page is slow, the newest, so that a page that never reads costs no memory. */
export class Stream {
  readonly visitor: Author
  readonly address: string
  readonly jobs: readonly string[]
  readonly body: ReadableStream<Uint8Array>
  readonly #waiting = new Map<string, string>()
  readonly #seen = new Set<string>()
  readonly #onEnd: () => void
  readonly #heartbeat: NodeJS.Timeout
  #controller!: ReadableStreamDefaultController<Uint8Array>
  #pulled: (() => void) | undefined
  #open = true

  constructor({ visitor, address, jobs }: StreamOptions, onEnd: () => void) {
    this.visitor = visitor
    this.address = address
    this.jobs = jobs
    this.#onEnd = onEnd
    this.#put('heartbeat', ': hello\n\n')
    this.#heartbeat = setInterval(() => this.#put('heartbeat', ': still here\n\n'), HEARTBEAT_MS).unref()
    this.body = new ReadableStream({
      start: (controller) => {
        this.#controller = controller
      },
      pull: () => this.#pull(),
      cancel: () => this.#ended(),
    })
  }

  send<Name extends keyof Events>(job: string, event: Name, data: Events[Name]): void {
    this.#seen.add(job)
    this.#put(job, `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** What was read from the store earlier and must not overtake what happened since. */
  sendUnlessNewer<Name extends keyof Events>(job: string, event: Name, data: Events[Name]): void {
    if (!this.#seen.has(job)) this.send(job, event, data)
  }

  end(): void {
    if (!this.#open) return
    this.#ended()
    this.#controller.close()
  }

  #put(key: string, text: string): void {
    this.#waiting.set(key, text)
    this.#flush()
  }

  #pull(): Promise<void> {
    return new Promise((resolve) => {
      this.#pulled = resolve
      this.#flush()
    })
  }

  /** Hands over all that waits once the page has read what came before. */
  #flush(): void {
    if (!this.#pulled || this.#waiting.size === 0) return
    this.#controller.enqueue(new TextEncoder().encode([...this.#waiting.values()].join('')))
    this.#waiting.clear()
    this.#pulled()
    this.#pulled = undefined
  }

  #ended(): void {
    this.#open = false
    clearInterval(this.#heartbeat)
    this.#pulled?.()
    this.#pulled = undefined
    this.#onEnd()
  }
}
