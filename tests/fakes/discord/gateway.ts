/** The fake gateway: sessions over WebSocket that survive a lost connection. https://discord.com/developers/docs/events/gateway */

import type { Server } from 'node:http'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Body } from './contract.ts'

interface Session {
  readonly id: string
  readonly shard: readonly [index: number, count: number]
  readonly events: Body[]
  socket: WebSocket | undefined
}

export interface GatewayOptions {
  readonly url: string
  readonly token: string
  /** What `READY` says beside the session. */
  readonly ready: Body
  /** Events that follow it. */
  readonly greeting: readonly { t: string; d: Body }[]
}

const GUILDS_INTENT = 1

export class Gateway {
  readonly #sockets: WebSocketServer
  readonly #options: GatewayOptions
  readonly #sessions: Session[] = []
  #made = 0
  /** Closes every identify with this code, such as 4004. */
  refusal: number | undefined
  /** The fewest shards that may serve; with fewer nobody is let in. */
  shards = 1
  /** What the next `READY` says, once. */
  spoiledReady: unknown
  readonly problems: string[] = []

  constructor(server: Server, options: GatewayOptions) {
    this.#options = options
    this.#sockets = new WebSocketServer({ server })
    this.#sockets.on('connection', (socket) => {
      send(socket, { op: 10, d: { heartbeat_interval: 41_250 } })
      socket.on('message', (data) => this.#received(socket, JSON.parse(String(data))))
      socket.on('close', (code) => this.#closed(socket, code))
    })
  }

  /** Sends an event to the first shard; one whose connection is lost gets it when it resumes. */
  dispatch(t: string, d: Body): void {
    for (const session of this.#sessions) if (session.shard[0] === 0) this.#dispatchTo(session, t, d)
  }

  get signedIn(): string[] {
    return this.#sessions.map(({ shard: [index, count] }) => `${index} of ${count}`).sort()
  }

  send(frame: string | Buffer): void {
    for (const socket of this.#sockets.clients) socket.send(frame)
  }

  /** Cuts every connection in the way that lets sessions resume. */
  drop(code = 4000): void {
    for (const session of this.#sessions) session.socket = undefined
    if (code === 4011) this.#sessions.length = 0
    for (const socket of this.#sockets.clients) socket.close(code)
  }

  stop(): void {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#sockets.close()
  }

  #received(socket: WebSocket, { op, d }: Body): void {
    if (op === 1) send(socket, { op: 11 })
    if (op === 2) this.#identify(socket, d)
    if (op === 6) this.#resume(socket, d)
  }

  /** Whoever says goodbye is gone; others may come back. */
  #closed(socket: WebSocket, code: number): void {
    const index = this.#sessions.findIndex((session) => session.socket === socket)
    if (index >= 0 && code === 1000) this.#sessions.splice(index, 1)
  }

  #identify(socket: WebSocket, { token, intents, shard = [0, 1] }: Body): void {
    const tooFew = shard[1] < this.shards ? 4011 : undefined
    const refusal = token === this.#options.token ? (this.refusal ?? tooFew) : 4004
    if (refusal !== undefined) {
      socket.close(refusal)
      return
    }
    if (intents !== GUILDS_INTENT) this.problems.push(`intents ${intents}: the Guilds intent alone is expected`)
    const { ready, greeting, url } = this.#options
    if (this.spoiledReady !== undefined) {
      send(socket, { op: 0, s: 1, t: 'READY', d: this.spoiledReady })
      this.spoiledReady = undefined
      return
    }
    const session: Session = { id: String(++this.#made), shard, events: [], socket }
    this.#sessions.push(session)
    this.#dispatchTo(session, 'READY', { v: 10, session_id: session.id, resume_gateway_url: url, ...ready })
    for (const { t, d } of greeting) this.#dispatchTo(session, t, d)
  }

  #resume(socket: WebSocket, { session_id, seq }: Body): void {
    const session = this.#sessions.find(({ id }) => id === session_id)
    if (!session) {
      send(socket, { op: 9, d: false })
      return
    }
    session.socket = socket
    for (const event of session.events.slice(seq)) send(socket, event)
    this.#dispatchTo(session, 'RESUMED', {})
  }

  #dispatchTo(session: Session, t: string, d: Body): void {
    const event = { op: 0, s: session.events.length + 1, t, d }
    session.events.push(event)
    if (session.socket) send(session.socket, event)
  }
}

function send(socket: WebSocket, payload: Body): void {
  socket.send(JSON.stringify(payload))
}
