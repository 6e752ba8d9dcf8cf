/** Keyv on Redis, so that jobs outlive the machine. */

import KeyvRedis, { createClient } from '@keyv/redis'
import { StoreError } from './errors.ts'
import type { Adapter, Database } from './keyv.ts'

const CONNECT_TIMEOUT_MS = 5_000
const MAX_RECONNECT_DELAY_MS = 2_000

/** @throws StoreError without the URL's password */
export async function openRedis(url: string): Promise<Database> {
  const name = redacted(url)
  let connected = false
  const client = createClient({
    url,
    // A write that cannot be sent must fail now: its author is told, and asks again.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectStrategy: (retries, cause) => (connected ? Math.min(retries * 100, MAX_RECONNECT_DELAY_MS) : cause),
    },
  })
  // Commands reject by themselves; an 'error' event that nobody heard would end the program.
  client.on('error', () => {})
  const error = (cause: unknown) => redisError(cause, name)
  try {
    await client.connect()
  } catch (cause) {
    throw error(cause)
  }
  connected = true
  return {
    adapter: () => new KeyvRedis(client, { throwOnErrors: true }) as unknown as Adapter,
    error,
    close: () => client.close(),
  }
}

function redisError(cause: unknown, name: string): StoreError {
  const { message } = cause as Error
  if (/^OOM /.test(message)) {
    return new StoreError('full', `${name} is out of memory: raise its maxmemory.`, { cause })
  }
  if (/^(WRONGPASS|NOAUTH|ERR AUTH)/.test(message)) {
    return new StoreError('denied', `${name} refused the password: correct it in REDIS_URL.`, { cause })
  }
  return new StoreError(
    'unreachable',
    `${name} does not answer (${message}): start it, correct REDIS_URL, or unset that to keep jobs in a file.`,
    { cause },
  )
}

function redacted(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed && /^rediss?:$/.test(parsed.protocol)) return `Redis at ${parsed.host}`
  throw new StoreError('unreachable', 'REDIS_URL is no address such as redis://127.0.0.1:6379: correct it.')
}
