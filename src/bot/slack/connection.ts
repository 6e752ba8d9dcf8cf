/** How Slack's events reach us: a websocket that we open (Socket Mode), or requests to a port of ours (HTTP). */

import { createHash } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { HTTPReceiver, type Receiver, SocketModeReceiver } from '@slack/bolt'
import type { Log } from '../platform.ts'
import type { ClientOptions } from './client.ts'
import { loggerTo, silentLogger } from './logger.ts'
import { persist } from './persist.ts'

export interface Connection {
  readonly receiver: Receiver
  /** @throws Error with one sentence for the operator */
  start(): Promise<void>
  stop(): Promise<void>
}

/** What a delivery carries into Bolt's context, so that the same one is never acted on twice. */
export interface Delivery {
  /** The same for each attempt to deliver one event. */
  readonly deliveryId: string
  /** Whether an id that was seen before means a further attempt. */
  readonly mayRepeat: boolean
}

const CLOSE_TIMEOUT_MS = 1000

/** Nothing need be open to the world; the websocket is opened again whenever it ends. */
export function socketMode(appToken: string, clientOptions: ClientOptions, log: Log): Connection {
  const receiver = new SocketModeReceiver({
    appToken,
    // Bolt's own reconnecting waits five seconds each time and ends the process when Slack refuses; ours speaks for itself.
    autoReconnectEnabled: false,
    logger: silentLogger,
    installerOptions: { clientOptions: { ...clientOptions, retryConfig: { retries: 0 } } },
    customPropertiesExtractor: ({ envelope_id }): Delivery => ({ deliveryId: envelope_id, mayRepeat: true }),
  })
  const stopping = new AbortController()
  const advice = 'make an app-level token with connections:write under Basic Information and put it in SLACK_APP_TOKEN.'

  async function connect(): Promise<void> {
    await persist(() => receiver.client.start(), { advice, log, signal: stopping.signal })
    receiver.client.once('disconnected', reconnect)
  }

  function reconnect(): void {
    if (stopping.signal.aborted) return
    connect().catch((error) => stopping.signal.aborted || log(`slack: disconnected for good: ${error.message}`))
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
    customPropertiesExtractor: ({ rawBody, headers }): Delivery => ({
      deliveryId: createHash('sha256').update(rawBody).digest('base64'),
      mayRepeat: headers['x-slack-retry-num'] !== undefined,
    }),
  })
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
      if (server) await receiver.stop()
    },
  }
}
