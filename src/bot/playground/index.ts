/** The playground: a chat in the browser, and a platform like the others. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createAdaptorServer } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import { UserError } from '../../job/errors.ts'
import type { Author, Job } from '../../job/job.ts'
import type { Platform } from '../platform.ts'
import type { Rooms } from '../rooms.ts'
import { type View, viewOf } from '../view.ts'
import { addressOf, isSecure } from './address.ts'
import { type DoorOptions, isOpened, openDoor } from './door.ts'
import { limitSockets, type PlaygroundLimits, STREAMS_PER_ADDRESS, UnfinishedJobs } from './limits.ts'
import { messageOfView } from './message.ts'
import { readPage } from './page-files.ts'
import { routes } from './routes.ts'
import { type Stream, Streams } from './streams.ts'
import { askerOf } from './visitor.ts'

export interface PlaygroundOptions extends DoorOptions {
  /** 0 = any free one. */
  readonly port: number
  /** The model's name, for the page. */
  readonly model: string
  /** What one address, and all together, may have; counted where others can reach the page. */
  readonly limits: PlaygroundLimits
  /** Where the built page lies; beside this file unless set. */
  readonly pageFolder?: string
}

export interface Playground extends Platform {
  /** Such as `http://localhost:3000`, once started. */
  readonly address: string
}

const EDIT_INTERVAL_MS = 200
/** How long answers under way may take once the server stops. */
const GRACE_MS = 1000

export function createPlayground(options: PlaygroundOptions, rooms: Rooms): Playground {
  const { host, port, model, pageFolder = fileURLToPath(new URL('./page', import.meta.url)) } = options
  const trustsProxy = options.trustsProxy ?? false
  const opened = isOpened(options)
  const streams = new Streams(opened ? STREAMS_PER_ADDRESS : Number.POSITIVE_INFINITY)
  /** Jobs that a crash cut off before their visitor's page heard of them, by visitor. */
  const unheard = new Map<string, Set<string>>()
  const unfinished = opened ? new UnfinishedJobs(options.limits, rooms.queue) : undefined
  const add = (from: string, make: () => Promise<Job>) => (unfinished ? unfinished.add(from, make) : make())
  const origin = (c: Context) => ({ address: addressOf(c, trustsProxy), secure: isSecure(c, trustsProxy) })
  let server: Server | undefined
  let address = ''

  function push(job: Job, view: View): boolean {
    const pages = streams.of(job.place.channel)
    for (const stream of pages) stream.send(job.id, 'job', messageOfView(job, view, stream.visitor.id))
    return pages.length > 0
  }

  async function connected(stream: Stream): Promise<void> {
    const { visitor, jobs } = stream
    const missed = unheard.get(visitor.id) ?? []
    unheard.delete(visitor.id)
    for (const id of new Set([...jobs, ...missed])) {
      const job = await seen(id, visitor)
      if (!job) stream.sendUnlessNewer(id, 'removed', { job: id })
      else stream.sendUnlessNewer(id, 'job', messageOfView(job, viewOf(job, rooms.queue.progress(id)), visitor.id))
    }
  }

  /** Undefined for a job that is gone, or none of the visitor's. */
  async function seen(id: string, visitor: Author): Promise<Job | undefined> {
    try {
      return await rooms.commands.show(id, askerOf(visitor))
    } catch (error) {
      if (error instanceof UserError && error.code === 'gone') return undefined
      throw error
    }
  }

  const platform: Playground = {
    name: 'playground',
    editIntervalMs: EDIT_INTERVAL_MS,

    get address() {
      return address
    },

    async start() {
      const app = new Hono()
      const page = await readPage(pageFolder)
      const login = await openDoor(app, options, page)
      for (const [path, handler] of page) app.get(path, handler)
      const present = (job: Job) =>
        rooms.presenter.present(job, async (view) => {
          push(job, view)
          return job.id
        })
      app.route('/', routes({ rooms, streams, model, origin, add, present, connected }))
      server = createAdaptorServer({ fetch: app.fetch }) as Server
      limitSockets(server, { byAddress: opened && !trustsProxy })
      await listen(server, host, port)
      address = `http://${nameOf(host)}:${(server.address() as AddressInfo).port}`
      if (login) rooms.log(`Playground  ${login.invitation(address)}`)
    },

    async stop() {
      streams.endAll()
      if (!server?.listening) return
      const closed = new Promise((resolve) => server!.close(resolve))
      const grace = setTimeout(() => server!.closeAllConnections(), GRACE_MS)
      await closed
      clearTimeout(grace)
    },

    // A page asks for the jobs it knows when it connects, so a job counts as shown as soon as its record stands. Here
    // comes only what its page never heard of, because a crash came before the answer.
    async post(job, view) {
      const visitor = job.place.channel
      if (!push(job, view)) unheard.set(visitor, (unheard.get(visitor) ?? new Set()).add(job.id))
      return job.id
    },

    async edit(job, view) {
      push(job, view)
    },

    async remove(job) {
      for (const stream of streams.of(job.place.channel)) stream.send(job.id, 'removed', { job: job.id })
    },
  }
  return platform
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(sentenceFor(error, host, port))))
    server.listen(port, host, resolve)
  })
}

function sentenceFor({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === 'EADDRINUSE') return `Port ${port} is in use by another program; set PORT to a free one.`
  if (code === 'EACCES') return `Port ${port} may not be opened by this user; set PORT to one above 1023.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return `HOST is ${host}, which is no address of this machine; set HOST to 127.0.0.1 or 0.0.0.0.`
  return `The playground cannot listen on ${host}:${port}: ${message}`
}

/** What to open in a browser. */
function nameOf(host: string): string {
  if (['127.0.0.1', '::1', '0.0.0.0', '::'].includes(host)) return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}
