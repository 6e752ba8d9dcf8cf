/** Somebody who talks to the playground without a browser: keeps the cookie, and sends what the page would send. */

import type { Message } from '../../src/bot/playground/message.ts'

export interface VisitorOptions {
  /** Sent with everything, as a proxy would. */
  readonly headers?: Readonly<Record<string, string>>
  /** The cookie of a login. */
  readonly login?: string
}

export class Visitor {
  readonly #address: string
  readonly #headers: Readonly<Record<string, string>>
  cookie = ''

  private constructor(address: string, headers: Readonly<Record<string, string>> = {}) {
    this.#address = address
    this.#headers = headers
  }

  static async arrive(address: string, { headers, login }: VisitorOptions = {}): Promise<Visitor> {
    const visitor = new Visitor(address, headers)
    if (login) visitor.cookie = login
    const response = await visitor.post('/api/session', {})
    const own = response.headers.get('set-cookie')!.split(';')[0]!
    visitor.cookie = login ? `${login}; ${own}` : own
    return visitor
  }

  /** The same person at another address. */
  at(address: string): Visitor {
    const visitor = new Visitor(address)
    visitor.cookie = this.cookie
    return visitor
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.#address + path, { headers: { cookie: this.cookie, ...this.#headers, ...headers } })
  }

  head(path: string): Promise<Response> {
    return fetch(this.#address + path, { method: 'HEAD', headers: { cookie: this.cookie } })
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.#address + path, {
      method: 'POST',
      headers: {
        cookie: this.cookie,
        origin: this.#address,
        'content-type': 'application/json',
        ...this.#headers,
        ...headers,
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  }

  async imagine(text: string): Promise<Message> {
    return (await this.post('/api/imagine', { text })).json() as Promise<Message>
  }

  act(action: string, job: string, index = 0): Promise<Response> {
    return this.post('/api/act', { id: `${action}:${index}:${job}` })
  }

  /** The event stream, which ends with `leave`. */
  async listen(jobs: readonly string[] = []): Promise<Listener> {
    const response = await this.get(`/api/events?jobs=${jobs.join(',')}`)
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return new Listener(response.body!)
  }
}

export interface ReceivedEvent {
  readonly event: string
  readonly data: Message
}

class Listener implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>
  #text = ''

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.pipeThrough(new TextDecoderStream()).getReader()
  }

  /** Undefined at the stream's end. */
  async next(): Promise<ReceivedEvent | undefined> {
    for (;;) {
      const match = /event: (.*)\ndata: (.*)\n\n/u.exec(this.#text)
      if (match) {
        this.#text = this.#text.slice(match.index + match[0].length)
        return { event: match[1]!, data: JSON.parse(match[2]!) }
      }
      const { done, value } = await this.#reader.read().catch(() => ({ done: true, value: undefined }))
      if (done) return undefined
      this.#text += value
    }
  }

  async until(wanted: (event: ReceivedEvent) => boolean): Promise<ReceivedEvent> {
    for (;;) {
      const event = await this.next()
      if (!event) throw new Error('The stream ended first.')
      if (wanted(event)) return event
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel()
  }
}

/** Retries what depends on the server noticing something, such as a connection that was closed. */
export async function eventually<Value>(attempt: () => Promise<Value>): Promise<Value> {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === 500) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
