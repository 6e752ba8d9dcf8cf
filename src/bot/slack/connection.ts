/** How Slack's events reach us: a websocket that we open (Socket Mode), or requests to a port of ours (HTTP). */

import { createHash } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { HTTPReceiver, type Receiver, SocketModeReceiver } from '@slack/bolt'
import type { Failure } from '../failure.ts'
import type { Log } from '../platform.ts'
import type { ClientOptions } from './client.ts'
import { loggerTo, silentLogger, withoutSecrets } from './logger.ts'
import { persist } from './persist.ts'

export interface Connection {
  readonly receiver: Receiver
  /** @throws Error with one sentence for the operator */
  start(): Promise<void>
  stop(): Promise<void>
}

/** What a delivery carries into Bolt's context, so that the same one is never acted on twice. */
export interface Delivery {
  /** The same for each attempt to deliver one event: no two events have the same trigger and address to answer to. */
  readonly deliveryId: string
}

const CLOSE_TIMEOUT_MS = 1000
/** Slack's own events have some kilobytes. */
const MAX_BODY = 2 ** 20
/** How far a signature's time may lie from ours, in either direction. */
export const SIGNATURE_MS = 5 * 60_000

/** Nothing need be open to the world; the websocket is opened again whenever it ends, until Slack refuses. */
export function socketMode(appToken: string, clientOptions: ClientOptions, failure: Failure, log: Log): Connection {
  const receiver = new SocketModeReceiver({
    appToken,
    // Bolt's own reconnecting waits five seconds each time and ends the process when Slack refuses; ours speaks for itself.
    autoReconnectEnabled: false,
    logger: silentLogger,
    installerOptions: { clientOptions: { ...clientOptions, retryConfig: { retries: 0 } } },
    customPropertiesExtractor: ({ envelope_id }): Delivery => ({ deliveryId: envelope_id }),
  })
  checkMessages(receiver.client, log)
  const stopping = new AbortController()
  const advice = 'make an app-level token with connections:write under Basic Information and put it in SLACK_APP_TOKEN.'

  async function connect(): Promise<void> {
    await persist(() => receiver.client.start(), { advice, log, signal: stopping.signal })
    receiver.client.once('disconnected', reconnect)
  }

  function reconnect(): void {
    if (stopping.signal.aborted) return
    connect().catch((error) => stopping.signal.aborted || failure.tell(error.message))
  }

  return {
    receiver,
    start: connect,
    async stop() {
      stopping.abort()
      await Promise.race([receiver.client.disconnect(), delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
    },
  }
}

type SocketClient = SocketModeReceiver['client']

/** The library reads a message in a promise whose rejection nobody handles. */
function checkMessages(client: SocketClient, log: Log): void {
  const listeners = client.listeners('ws_message')
  client.removeAllListeners('ws_message')
  client.on('ws_message', async (data: unknown, isBinary: boolean) => {
    try {
      const problem = isBinary ? 'it is binary' : problemOfEnvelope(JSON.parse(String(data)))
      if (problem) throw new Error(problem)
      for (const listener of listeners) await listener.call(client, data, isBinary)
    } catch (error) {
      log(`slack: an event was left out: ${withoutSecrets((error as Error).message)}`)
    }
  })
}

// biome-ignore lint/suspicious/noExplicitAny: a stranger's JSON
function problemOfEnvelope(envelope: any): string | undefined {
  if (envelope?.type === 'hello' || envelope?.type === 'disconnect') return undefined
  if (!['slash_commands', 'interactive', 'events_api'].includes(envelope?.type))
    return 'of a kind that is not known here'
  return typeof envelope.envelope_id === 'string' ? undefined : 'it cannot be acknowledged'
}

export interface HttpOptions {
  readonly signingSecret: string
  readonly port: number
  readonly host: string
}

/** Everything comes to `/slack/events`, signed. */
export function http({ signingSecret, port, host }: HttpOptions, log: Log): Connection {
  const receiver = new HTTPReceiver({
    signingSecret,
    logger: loggerTo(log),
    customPropertiesExtractor: ({ rawBody }): Delivery => ({
      deliveryId: createHash('sha256').update(rawBody).digest('base64'),
    }),
    // The event's own line stands in the log already.
    unhandledRequestHandler: ({ response }) => void (response.headersSent || response.writeHead(404).end()),
  })
  checkRequests(receiver, log)
  let server: Server | undefined
  return {
    receiver,
    async start() {
      try {
        server = await receiver.start({ port, host })
        log(`slack: listening on port ${(server.address() as AddressInfo).port}, at /slack/events`)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        throw new Error(`Slack's port ${port} cannot be used (${code}); set SLACK_PORT to a free one.`)
      }
    },
    async stop() {
      if (server?.listening) await receiver.stop()
    },
  }
}

/** Bolt takes signatures from the future, and reads a body in a promise whose rejection nobody handles. */
function checkRequests(receiver: HTTPReceiver, log: Log): void {
  const answer = receiver.requestListener
  const turnAway = (response: ServerResponse, status: number, why: string) => {
    log(`slack: a request was turned away: ${why}`)
    response.writeHead(status).end()
  }
  const answerSigned = async (request: IncomingMessage, response: ServerResponse) => {
    const rawBody = await readBody(request)
    if (!rawBody) return turnAway(response, 413, 'it is too large')
    if (isNothing(String(rawBody), request.headers['content-type'])) return turnAway(response, 400, 'it says nothing')
    answer(Object.assign(request, { rawBody }), response)
  }
  receiver.requestListener = (request, response) => {
    if (request.method !== 'POST') return answer(request, response)
    const seconds = Number(request.headers['x-slack-request-timestamp'])
    if (1000 * seconds - Date.now() > SIGNATURE_MS) return turnAway(response, 401, 'its signature is of a time to come')
    answerSigned(request, response).catch(() => {
      // What is no event's address, and whoever hung up.
      if (!response.headersSent) response.writeHead(404).end()
    })
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > MAX_BODY) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function isNothing(text: string, type: string | undefined): boolean {
  const isForm = type === 'application/x-www-form-urlencoded'
  return (isForm ? new URLSearchParams(text).get('payload') : text)?.trim() === 'null'
}
