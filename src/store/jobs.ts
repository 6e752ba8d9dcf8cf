/** The job store on Keyv: records in one namespace, and the ids of those not answered yet in another. */

import { join } from 'node:path'
import { Keyv } from 'keyv'
import type { Job } from '../job/job.ts'
import { type Adapter, type Database, NAMESPACES } from './keyv.ts'
import { faultOf, UNREADABLE, upToDate } from './record.ts'
import { openSqlite } from './sqlite.ts'
import type { JobStore } from './store.ts'

/** How long a job's record is kept after its last change: a button under a result works for more than a year. */
export const JOB_DAYS = 400

const DAY_MS = 86_400_000

type Log = (line: string) => void

export interface JobStoreOptions {
  /** Holds `jobs.db`; made where it is missing. */
  readonly dataDir: string
  /** Redis in place of that file. */
  readonly redisUrl?: string | undefined
  /** Told what was found broken, and of another program that has to end first. */
  readonly log?: Log
  /** Gives up waiting for that; rejects with its `reason`. */
  readonly signal?: AbortSignal
}

/**
 * Opens what this program alone writes to. A file that another one holds is refused; on Redis this resolves when the other
 * one ends.
 * @throws StoreError that names the file or the server, and says what to do
 */
export async function openJobStore({ dataDir, redisUrl, log = () => {}, signal }: JobStoreOptions): Promise<JobStore> {
  if (redisUrl === undefined) return keyvJobStore(openSqlite(join(dataDir, 'jobs.db'), log), log)
  const { openRedis } = await import('./redis.ts') // A large client that few need.
  return keyvJobStore(await openRedis(redisUrl, log, signal), log)
}

/** The store on any database that Keyv can reach. */
export function keyvJobStore(database: Database, log: Log = () => {}): JobStore {
  return new KeyvJobStore(database, log)
}

class KeyvJobStore implements JobStore {
  readonly #database: Database
  readonly #log: Log
  readonly #jobs: Keyv<Job>
  readonly #unanswered: Keyv<number>
  readonly #measures: Keyv<number>
  readonly #records: Adapter
  readonly #ids: () => AsyncGenerator<[string, unknown]>

  constructor(database: Database, log: Log) {
    const [jobs, unanswered, measures] = NAMESPACES
    const ids = database.adapter(unanswered)
    this.#database = database
    this.#log = log
    this.#records = database.adapter(jobs)
    this.#jobs = keyv(this.#records, jobs, JOB_DAYS * DAY_MS)
    this.#unanswered = keyv(ids, unanswered, JOB_DAYS * DAY_MS)
    this.#measures = keyv(database.adapter(measures), measures)
    this.#ids = () => ids.iterator(unanswered)
  }

  get lost(): AbortSignal {
    return this.#database.lost
  }

  /** The order of the two writes matters: whatever a crash leaves between them, no unanswered record lacks its id. */
  put(job: Job): Promise<void> {
    return this.#do(async () => {
      if (job.answeredAt === undefined && (await this.#unanswered.get(job.id)) === undefined) {
        await this.#unanswered.set(job.id, job.createdAt)
      }
      await this.#jobs.set(job.id, job)
      if (job.answeredAt !== undefined) await this.#unanswered.delete(job.id)
    })
  }

  get(id: string): Promise<Job | undefined> {
    return this.#do(async () => {
      const job = await this.#jobs.get(id)
      if (job === undefined) return undefined
      const fault = faultOf(id, job)
      if (fault === undefined) return upToDate(job)
      await this.#setAside(id, fault)
      return undefined
    })
  }

  unanswered(): Promise<Job[]> {
    return this.#do(async () => {
      const jobs: Job[] = []
      for await (const [id] of this.#ids()) {
        const job = await this.get(id)
        if (job && job.answeredAt === undefined) jobs.push(job)
      }
      return jobs.sort((a, b) => a.createdAt - b.createdAt)
    })
  }

  async putMeasure(name: string, value: number): Promise<void> {
    await this.#do(() => this.#measures.set(name, value))
  }

  async getMeasure(name: string): Promise<number | undefined> {
    const value = await this.#do(() => this.#measures.get(name))
    return typeof value === 'number' ? value : undefined
  }

  probe(): Promise<void> {
    return this.putMeasure('probe', Date.now())
  }

  close(): Promise<void> {
    return this.#database.close()
  }

  /** One broken record keeps nobody from their pictures. */
  async #setAside(id: string, fault: string): Promise<void> {
    await this.#records.setAside(id)
    await this.#unanswered.delete(id)
    this.#log(`jobs: the record of job ${JSON.stringify(id)} was set aside in ${this.#database.aside}: ${fault}.`)
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#database.error(error)
    }
  }
}

function keyv<Value>(store: Adapter, namespace: string, ttl?: number): Keyv<Value> {
  // By default Keyv turns a failed write into an event and goes on; here it must reach whoever asked.
  const keyv = new Keyv<Value>({ store, namespace, useKeyPrefix: false, throwOnErrors: true, ...(ttl && { ttl }) })
  const { deserialize } = keyv.opts
  keyv.deserialize = async <Value>(stored: string) => {
    try {
      return await deserialize!<Value>(stored)
    } catch {
      return { value: UNREADABLE as Value }
    }
  }
  return keyv
}
