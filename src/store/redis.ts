/** Keyv on Redis, so that jobs outlive the machine, and the next program takes over when this one ends. */

import { createClient, type RedisClientType } from '@redis/client'
import { StoreError } from './errors.ts'
import type { Adapter, Database } from './keyv.ts'
import { type Eval, type Lease, takeLease } from './lease.ts'

const CONNECT_TIMEOUT_MS = 5_000
const MAX_RECONNECT_DELAY_MS = 2_000
/** A server that says nothing for so long counts as away. */
const ANSWER_TIMEOUT_MS = 5_000
const SCAN_COUNT = 1000

/** The version of what lies in Redis, as of a file's tables. */
const VERSION = 'seedling:version'
const KNOWN_VERSION = 1

/**
 * Resolves when no other program writes there.
 * @throws StoreError without the URL's password; the reason of `signal`
 */
export async function openRedis(url: string, log: (line: string) => void, signal?: AbortSignal): Promise<Database> {
  const name = redacted(url)
  let connected = false
  const client: RedisClientType = createClient({
    url,
    // A write that cannot be sent must fail now: its author is told, and asks again.
    disableOfflineQueue: true,
    pingInterval: ANSWER_TIMEOUT_MS,
    socket: {
      connectTimeout: CONNECT_TIMEOUT_MS,
      // A connection whose other end is gone without a word is opened anew.
      socketTimeout: 3 * ANSWER_TIMEOUT_MS,
      reconnectStrategy: (retries, cause) => (connected ? Math.min(retries * 100, MAX_RECONNECT_DELAY_MS) : cause),
    },
  })
  // Commands reject by themselves; an 'error' event that nobody heard would end the program.
  client.on('error', () => {})
  const asked = new Answers()
  const evaluate: Eval = (script, keys, args) => asked.within(() => client.eval(script, { keys, arguments: args }))
  try {
    await client.connect()
    connected = true
    await checkVersion(client, name)
    const lease = await takeLease(evaluate, { log, name, signal })
    return databaseOf(client, lease, asked, name)
  } catch (cause) {
    if (client.isOpen) client.destroy()
    signal?.throwIfAborted()
    throw redisError(cause, name)
  }
}

function databaseOf(client: RedisClientType, lease: Lease, asked: Answers, name: string): Database {
  return {
    adapter: (namespace) => new RedisTable(client, lease, asked, namespace),
    aside: `${ASIDE}:… on ${name}`,
    lost: lease.lost,
    error: (cause) =>
      lease.lost.aborted
        ? new StoreError('lost', `Another Seedling has taken over the jobs on ${name}.`, { cause })
        : redisError(cause, name),
    async close() {
      await lease.release()
      client.destroy()
    },
  }
}

async function checkVersion(client: RedisClientType, name: string): Promise<void> {
  await client.set(VERSION, KNOWN_VERSION, { NX: true })
  const version = Number(await client.get(VERSION))
  if (version <= KNOWN_VERSION) return
  throw new StoreError(
    'version',
    `${name} was written by a newer Seedling (version ${version}; this one knows ${KNOWN_VERSION}): run that one, or give REDIS_URL another database.`,
  )
}

const ASIDE = 'seedling:aside'

const SET = `return redis.call('SET', KEYS[1], ARGV[1])`
const SET_FOR = `return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])`
const DELETE = `return redis.call('DEL', KEYS[1])`
const MOVE = `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end`

/** Its writes are refused once another program has the lease. */
class RedisTable implements Adapter {
  readonly #client: RedisClientType
  readonly #lease: Lease
  readonly #asked: Answers
  readonly #prefix: string

  constructor(client: RedisClientType, lease: Lease, asked: Answers, namespace: string) {
    this.#client = client
    this.#lease = lease
    this.#asked = asked
    this.#prefix = `${namespace}::`
  }

  // biome-ignore lint/suspicious/noExplicitAny: Keyv's signature; it unpacks the text itself
  async get(key: string): Promise<any> {
    const text = this.#asked
      .within(() => this.#client.get(this.#prefix + key))
      .catch((error: Error) => {
        // A list, say, that somebody put there: it is no record, and can be set aside.
        if (error.message.startsWith('WRONGTYPE')) return error.message
        throw error
      })
    return (await text) ?? undefined
  }

  async set(key: string, value: string, ttl?: number): Promise<void> {
    const args = ttl === undefined ? [value] : [value, String(ttl)]
    await this.#lease.write(ttl === undefined ? SET : SET_FOR, [this.#prefix + key], args)
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#lease.write(DELETE, [this.#prefix + key], [])) === 1
  }

  async clear(): Promise<void> {
    for await (const [key] of this.iterator()) await this.delete(key)
  }

  async *iterator(): AsyncGenerator<[string, undefined]> {
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const options = { MATCH: `${this.#prefix}*`, COUNT: SCAN_COUNT }
      const found = await this.#asked.within(() => this.#client.scan(cursor, options))
      cursor = found.cursor
      for (const key of found.keys) {
        // SCAN may give a key twice.
        if (!seen.has(key)) yield [key.slice(this.#prefix.length), undefined]
        seen.add(key)
      }
    } while (cursor !== '0')
  }

  async setAside(key: string): Promise<void> {
    await this.#lease.write(MOVE, [this.#prefix + key, `${ASIDE}:${this.#prefix}${key}`], [])
  }
}

/** Gives up waiting for a server that says nothing, and asks nothing more until it does. */
class Answers {
  #silent = false

  async within<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#silent) throw new Error('no answer')
    const answer = ask()
    const heard = () => {
      this.#silent = false
    }
    answer.then(heard, heard)
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#silent = true
        reject(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`))
      }, ANSWER_TIMEOUT_MS)
    })
    try {
      return await Promise.race([answer, silence])
    } finally {
      clearTimeout(timer)
    }
  }
}

function redisError(cause: unknown, name: string): StoreError {
  if (cause instanceof StoreError) return cause
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
