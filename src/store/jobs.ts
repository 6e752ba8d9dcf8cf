/** The job store on Keyv: records in one namespace, and the ids of those not answered yet in another. */

import { join } from 'node:path'
import { Keyv } from 'keyv'
import type { Job } from '../job/job.ts'
import type { Adapter, Database } from './keyv.ts'
import { openSqlite } from './sqlite.ts'
import type { JobStore } from './store.ts'

/** How long a job's record is kept after its last change: a button under a result works for more than a year. */
export const JOB_DAYS = 400

const DAY_MS = 86_400_000

export interface JobStoreOptions {
  /** Holds `jobs.db`; made where it is missing. */
  readonly dataDir: string
  /** Redis in place of that file. */
  readonly redisUrl?: string | undefined
}

/** @throws StoreError that names the file or the server, and says what to do */
export async function openJobStore({ dataDir, redisUrl }: JobStoreOptions): Promise<JobStore> {
  if (redisUrl === undefined) return keyvJobStore(openSqlite(join(dataDir, 'jobs.db')))
  const { openRedis } = await import('./redis.ts') // A large client that few need.
  return keyvJobStore(await openRedis(redisUrl))
}

/** The store on any database that Keyv can reach. */
export function keyvJobStore(database: Database): JobStore {
  return new KeyvJobStore(database)
}

class KeyvJobStore implements JobStore {
  readonly #database: Database
  readonly #jobs: Keyv<Job>
  readonly #unanswered: Keyv<number>
  readonly #measures: Keyv<number>
  readonly #ids: () => AsyncGenerator<[string, unknown]>

  constructor(database: Database) {
    const ids = database.adapter(UNANSWERED)
    this.#database = database
    this.#jobs = keyv(database.adapter('seedling:jobs'), 'seedling:jobs', JOB_DAYS * DAY_MS)
    this.#unanswered = keyv(ids, UNANSWERED, JOB_DAYS * DAY_MS)
    this.#measures = keyv(database.adapter('seedling:measures'), 'seedling:measures')
    this.#ids = () => ids.iterator(UNANSWERED)
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
    return this.#do(() => this.#jobs.get(id))
  }

  unanswered(): Promise<Job[]> {
    return this.#do(async () => {
      const jobs: Job[] = []
      for await (const [id] of this.#ids()) {
        const job = await this.#jobs.get(id)
        if (job && job.answeredAt === undefined) jobs.push(job)
      }
      return jobs.sort((a, b) => a.createdAt - b.createdAt)
    })
  }

  async putMeasure(name: string, value: number): Promise<void> {
    await this.#do(() => this.#measures.set(name, value))
  }

  getMeasure(name: string): Promise<number | undefined> {
    return this.#do(() => this.#measures.get(name))
  }

  close(): Promise<void> {
    return this.#database.close()
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#database.error(error)
    }
  }
}

const UNANSWERED = 'seedling:unanswered'

function keyv<Value>(store: Adapter, namespace: string, ttl?: number): Keyv<Value> {
  // By default Keyv turns a failed write into an event and goes on; here it must reach whoever asked.
  return new Keyv<Value>({ store, namespace, useKeyPrefix: false, throwOnErrors: true, ...(ttl && { ttl }) })
}
