/** What one address, and all together, may have of a playground that others can reach; a cookie costs them nothing. */

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { MiddlewareHandler } from 'hono'
import { createMiddleware } from 'hono/factory'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { UserError } from '../../job/errors.ts'
import { isFinished, type Job } from '../../job/job.ts'
import type { JobQueue } from '../../queue/queue.ts'
import { networkOf } from './address.ts'
import type { Failure } from './message.ts'

export interface PlaygroundLimits {
  /** Jobs that may be waiting or running, for one address and in all. */
  readonly jobsPerAddress: number
  readonly jobsInAll: number
}

/** A page that does what it can asks a few times a minute; a company behind one address a few hundred times. */
const ASKS_PER_MINUTE = 300
export const STREAMS_PER_ADDRESS = 32
const SOCKETS_PER_ADDRESS = 128
const SOCKETS_IN_ALL = 1024
/** Whoever is slower than this to say what they want keeps a socket from others. */
const HEADERS_MS = 10_000
const REQUEST_MS = 30_000

/** Counts what changes something; looking is cheap. */
export function fewAsks(addressOf: (c: Parameters<MiddlewareHandler>[0]) => string): MiddlewareHandler {
  const asks = new RateLimiterMemory({ points: ASKS_PER_MINUTE, duration: 60 })
  return createMiddleware(async (c, next) => {
    const allowed = await asks.consume(addressOf(c)).then(
      () => true,
      () => false,
    )
    if (allowed) return next()
    const error = 'Too much was asked from your address in the last minute; wait a moment and go on.'
    return c.json<Failure>({ error }, 429)
  })
}

/**
 * Sockets beyond the limits are closed before anything is read from them.
 * @param byAddress not where all come from this machine, or from a proxy
 */
export function limitSockets(server: Server, { byAddress }: { readonly byAddress: boolean }): void {
  server.maxConnections = SOCKETS_IN_ALL
  server.headersTimeout = HEADERS_MS
  server.requestTimeout = REQUEST_MS
  if (!byAddress) return
  const open = new Map<string, number>()
  server.on('connection', (socket: Socket) => {
    const address = networkOf(socket.remoteAddress ?? '')
    const count = (open.get(address) ?? 0) + 1
    open.set(address, count)
    socket.once('close', () => {
      const left = open.get(address)! - 1
      if (left > 0) open.set(address, left)
      else open.delete(address)
    })
    if (count > SOCKETS_PER_ADDRESS) socket.destroy()
  })
}

/** The jobs of visitors that are not finished yet, by address. */
export class UnfinishedJobs {
  readonly #limits: PlaygroundLimits
  readonly #queue: JobQueue
  readonly #byAddress = new Map<string, number>()
  /** Which address a job counts for. */
  readonly #addresses = new Map<string, string>()
  #inAll = 0

  constructor(limits: PlaygroundLimits, queue: JobQueue) {
    this.#limits = limits
    this.#queue = queue
    queue.on('change', (job) => {
      if (isFinished(job)) this.#settle(job.id)
    })
  }

  /** Makes a job for an address. @throws UserError `limit`, or what `make` throws */
  async add(address: string, make: () => Promise<Job>): Promise<Job> {
    const mine = this.#byAddress.get(address) ?? 0
    if (mine >= this.#limits.jobsPerAddress) {
      throw new UserError('limit', `${mine} jobs from your address are waiting; ask again when one of them is done.`)
    }
    if (this.#inAll >= this.#limits.jobsInAll) {
      throw new UserError(
        'limit',
        `${this.#inAll} jobs are waiting here, which is as many as may; ask again in a while.`,
      )
    }
    // It counts from here on, before anything is awaited: a burst cannot slip past the limits.
    this.#count(address, 1)
    try {
      const job = await make()
      this.#addresses.set(job.id, address)
      // It may have ended before it was known whose it is.
      if (!this.#queue.isUnfinished(job.id)) this.#settle(job.id)
      return job
    } catch (error) {
      this.#count(address, -1)
      throw error
    }
  }

  #settle(id: string): void {
    const address = this.#addresses.get(id)
    if (address === undefined) return
    this.#addresses.delete(id)
    this.#count(address, -1)
  }

  #count(address: string, by: 1 | -1): void {
    this.#inAll += by
    const count = (this.#byAddress.get(address) ?? 0) + by
    if (count > 0) this.#byAddress.set(address, count)
    else this.#byAddress.delete(address)
  }
}
