/** How Slack delivers what people do: through a websocket that the app opened, or as signed requests to it. */

import { createHmac, randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { WebSocket, WebSocketServer } from 'ws'

export interface Event {
  readonly type: 'slash_commands' | 'interactive'
  readonly payload: Record<string, unknown>
}

/** Delivers an event and gives what it was acknowledged with. */
export interface Delivery {
  deliver(event: Event): Promise<unknown>
  /** The last event once more, as when its acknowledgement got lost. */
  redeliver(): Promise<unknown>
}

/** Slack waits three seconds; a loaded machine is given more. */
const ACK_WITHIN_MS = 60_000

export class SocketDelivery implements Delivery {
  readonly #sockets = new Set<WebSocket>()
  readonly #events = new EventEmitter()
  #last: (Event & { envelope_id: string }) | undefined

  constructor(server: WebSocketServer, onChange: () => void) {
    server.on('connection', (socket) => {
      socket.on('close', () => {
        this.#sockets.delete(socket)
        onChange()
      })
      socket.on('message', (data) => {
        const { envelope_id, payload } = JSON.parse(String(data))
        this.#events.emit(envelope_id, payload)
      })
      this.#sockets.add(socket)
      const app = { app_id: 'A0SEEDLING' }
      socket.send(JSON.stringify({ type: 'hello', num_connections: this.#sockets.size, connection_info: app }))
      this.#events.emit('connection')
    })
  }

  get connections(): number {
    return this.#sockets.size
  }

  async deliver(event: Event): Promise<unknown> {
    this.#last = { ...event, envelope_id: randomUUID() }
    return this.#send(this.#last)
  }

  async redeliver(): Promise<unknown> {
    return this.#send({ ...this.#last!, retry_attempt: 1 })
  }

  /** Something that Slack does not send. */
  garbage(text: string): void {
    for (const socket of this.#sockets) socket.send(text)
  }

  /** Slack moves its connections now and then; resolves when the app is back. */
  async refresh(): Promise<void> {
    const back = once(this.#events, 'connection')
    this.disconnect()
    await back
  }

  disconnect(): void {
    for (const socket of this.#sockets) socket.send(JSON.stringify({ type: 'disconnect', reason: 'refresh_requested' }))
  }

  async #send(envelope: Event & { envelope_id: string; retry_attempt?: number }): Promise<unknown> {
    if (this.#sockets.size === 0) await once(this.#events, 'connection')
    const [socket] = this.#sockets
    const acked = once(this.#events, envelope.envelope_id, { signal: AbortSignal.timeout(ACK_WITHIN_MS) })
    socket!.send(JSON.stringify({ ...envelope, accepts_response_payload: true }))
    const [payload] = await acked
    return payload
  }
}

export interface Forged {
  readonly secret?: string
  readonly time?: number
  readonly headers?: Record<string, string>
}

export class HttpDelivery implements Delivery {
  readonly #url: string
  readonly #signingSecret: string
  #last: Event | undefined

  constructor(url: string, signingSecret: string) {
    this.#url = url
    this.#signingSecret = signingSecret
  }

  async deliver(event: Event): Promise<unknown> {
    this.#last = event
    return this.#acked(await this.send(event))
  }

  async redeliver(): Promise<unknown> {
    return this.#acked(await this.send(this.#last!, { headers: { 'x-slack-retry-num': '1' } }))
  }

  /** A signed request with any body. */
  async post(body: string, type = 'application/x-www-form-urlencoded'): Promise<Response> {
    return this.#post(body, { headers: { 'content-type': type } })
  }

  /** A request whose time or signature may be wrong. */
  async send({ type, payload }: Event, forged: Forged = {}): Promise<Response> {
    const fields =
      type === 'slash_commands' ? (payload as Record<string, string>) : { payload: JSON.stringify(payload) }
    return this.#post(new URLSearchParams(fields).toString(), forged)
  }

  async #post(body: string, forged: Forged): Promise<Response> {
    const time = forged.time ?? Math.floor(Date.now() / 1000)
    const hmac = createHmac('sha256', forged.secret ?? this.#signingSecret)
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': String(time),
      'x-slack-signature': `v0=${hmac.update(`v0:${time}:${body}`).digest('hex')}`,
      ...forged.headers,
    }
    return fetch(this.#url, { method: 'POST', headers, body, signal: AbortSignal.timeout(ACK_WITHIN_MS) })
  }

  async #acked(response: Response): Promise<unknown> {
    if (response.status !== 200) throw new Error(`the app answered with ${response.status}`)
    const text = await response.text()
    return text === '' ? {} : JSON.parse(text)
  }
}
