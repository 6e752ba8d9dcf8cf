import { cp, mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Job } from '../../src/job/job.ts'
import { JOB_DAYS, keyvJobStore, openJobStore } from '../../src/store/jobs.ts'
import type { Adapter, Database } from '../../src/store/keyv.ts'
import type { JobStore } from '../../src/store/store.ts'
import { FakeRedis } from '../fakes/redis.ts'
import { newJob, request, temporaryFolder } from '../queue/jobs.ts'

const DAY_MS = 86_400_000

async function fileStore(): Promise<JobStore> {
  const store = await openJobStore({ dataDir: await temporaryFolder() })
  onTestFinished(() => store.close())
  return store
}

async function redis(password?: string): Promise<{ server: FakeRedis; port: number }> {
  const server = new FakeRedis(password)
  onTestFinished(() => server.close())
  return { server, port: await server.listen() }
}

async function redisStore(): Promise<JobStore> {
  const { port } = await redis()
  const store = await openJobStore({ dataDir: '/nowhere', redisUrl: `redis://127.0.0.1:${port}` })
  onTestFinished(() => store.close())
  return store
}

describe.each([
  ['a file', fileStore],
  ['Redis (a fake server)', redisStore],
])('jobs in %s', (_, open) => {
  it('come back as they were stored', async () => {
    const store = await open()
    const job = newJob({ request: { ...request, prompt: ':🍎 “apple”\n\u0000\u202e' }, parent: { job: 'a', index: 1 } })
    await store.put(job)
    expect(await store.get(job.id)).toEqual(job)
    await store.put({ ...job, state: 'done', answeredAt: 1 })
    expect(await store.get(job.id)).toEqual({ ...job, state: 'done', answeredAt: 1 })
    expect(await store.get('0000000000000000')).toBeUndefined()
  })

  it('are found while they are not answered, oldest first', async () => {
    const store = await open()
    const jobs = Array.from({ length: 250 }, (_, index) => newJob({ createdAt: (index * 7919) % 250 }))
    await Promise.all(jobs.map((job) => store.put(job)))
    await Promise.all(jobs.slice(0, 100).map((job) => store.put({ ...job, answeredAt: 1 })))
    const left = jobs.slice(100).toSorted((a, b) => a.createdAt - b.createdAt)
    expect(await store.unanswered()).toEqual(left)
    // Deleted later, so that its message has to be touched again.
    await store.put({ ...jobs[0]!, deletedAt: 2 })
    expect(await store.unanswered()).toHaveLength(151)
  })

  it('keep measures', async () => {
    const store = await open()
    expect(await store.getMeasure('speed')).toBeUndefined()
    await store.putMeasure('speed', 1.25e-7)
    expect(await store.getMeasure('speed')).toBe(1.25e-7)
  })
})

describe('the order of writes', () => {
  it('loses no unanswered job, whichever write a crash forbids', async () => {
    const puts = fc.array(fc.record({ number: fc.nat(3), answered: fc.boolean() }), { maxLength: 20 })
    const property = fc.asyncProperty(puts, fc.nat(30), async (puts, crash) => {
      const disk = new Map<string, Map<string, string>>()
      const store = keyvJobStore(memory(disk, crash))
      const promised = new Map<string, Job>()
      for (const { number, answered } of puts) {
        const job = newJob({ id: `${number}`, ...(answered && { answeredAt: 1 }) })
        promised.delete(job.id) // Until the put resolves, either version will do.
        const put = store.put(job).then(
          () => true,
          () => false,
        )
        if (!(await put)) break
        promised.set(job.id, job)
      }
      const stored = [...disk.get('seedling:jobs')!.values()].map((text) => JSON.parse(text).value as Job)
      for (const job of promised.values()) expect(stored).toContainEqual(job)
      const found = await keyvJobStore(memory(disk)).unanswered()
      const due = stored.filter((job) => job.answeredAt === undefined)
      expect(found.map(({ id }) => id).toSorted()).toEqual(due.map(({ id }) => id).toSorted())
    })
    await fc.assert(property, { numRuns: 300 })
  })
})

describe('a store that fails', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it('rejects a put, and works again when the disk does', async () => {
    let full = true
    const disk = memory(new Map())
    const store = keyvJobStore({
      ...disk,
      adapter: (namespace) => {
        const adapter = disk.adapter(namespace)
        const set: Adapter['set'] = (key, value) => {
          if (full) throw new Error('full')
          return adapter.set(key, value)
        }
        return { ...adapter, set }
      },
    })
    await expect(store.put(newJob())).rejects.toThrow('full')
    full = false
    await store.put(newJob())
  })

  it('says what to do when the folder cannot be made', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'file'), '')
    await expect(openJobStore({ dataDir: join(folder, 'file', 'data') })).rejects.toMatchObject({
      name: 'StoreError',
      code: 'denied',
      message: expect.stringMatching(/file\/data\/jobs\.db cannot be written .*SEEDLING_DATA/),
    })
  })

  it.runIf(process.platform === 'linux')('says so where the system says that nothing is there', async () => {
    await expect(openJobStore({ dataDir: '/proc/seedling/data' })).rejects.toMatchObject({ code: 'denied' })
  })

  it('says so when another program holds the file, until that ends', async () => {
    const dataDir = await temporaryFolder()
    const first = await openJobStore({ dataDir })
    await expect(openJobStore({ dataDir })).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('in use by another Seedling'),
    })
    await first.close()
    await expect(first.put(newJob())).rejects.toThrow('it is closed')
    await (await openJobStore({ dataDir })).close()
  })

  it.each([
    ['is no database', (file: string) => writeFile(file, 'hello')],
    ['is random', async (file: string) => writeFile(file, crypto.getRandomValues(new Uint8Array(20_000)))],
    ['was cut off', (file: string) => truncate(file, 9000)],
    [
      'holds other pages',
      async (file: string) => {
        const bytes = await readFile(file)
        await writeFile(file, bytes.fill(0xaa, 100, 4000))
      },
    ],
  ])('says so when the file %s, and leaves it as it is', async (_, damage) => {
    const dataDir = await temporaryFolder()
    const store = await openJobStore({ dataDir })
    for (let i = 0; i < 50; i++) await store.put(newJob())
    await store.close()
    const file = join(dataDir, 'jobs.db')
    await damage(file)
    await mkdir(join(dataDir, 'copy'))
    await cp(file, join(dataDir, 'copy', 'jobs.db'))
    await expect(openJobStore({ dataDir })).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringMatching(/jobs\.db is damaged: put a backup in its place, or move it away/),
    })
    expect(await readFile(file)).toEqual(await readFile(join(dataDir, 'copy', 'jobs.db')))
  })

  it('forgets a job when its time is over, whether or not anybody asks for it', async () => {
    const dataDir = await temporaryFolder()
    const store = await openJobStore({ dataDir })
    const [old, kept] = [newJob({ answeredAt: 1 }), newJob({ answeredAt: 1 })]
    await store.put(old)
    vi.useFakeTimers({ now: Date.now() + (JOB_DAYS - 1) * DAY_MS, toFake: ['Date'] })
    await store.put(kept)
    expect(await store.get(old.id)).toMatchObject({ id: old.id })
    await store.close()
    vi.setSystemTime(Date.now() + 2 * DAY_MS)
    const next = await openJobStore({ dataDir })
    expect(await next.get(old.id)).toBeUndefined()
    expect(await next.get(kept.id)).toMatchObject({ id: kept.id })
    await next.close()
    expect((await readFile(join(dataDir, 'jobs.db'))).includes(kept.id)).toBe(true)
  })
})

describe('Redis', () => {
  it('is given an end to every record, under names of our own', async () => {
    const { server, port } = await redis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: `redis://127.0.0.1:${port}` })
    const job = newJob()
    await store.put(job)
    expect([...server.values.keys()]).toEqual([`seedling:unanswered::${job.id}`, `seedling:jobs::${job.id}`])
    expect([...server.ttls.values()]).toEqual([JOB_DAYS * DAY_MS, JOB_DAYS * DAY_MS])
    await store.close()
  })

  it('gives one clear error when nobody answers, without the password', async () => {
    const { server, port } = await redis()
    await server.close()
    const redisUrl = `redis://user:secret@127.0.0.1:${port}`
    const error = await openJobStore({ dataDir: '/nowhere', redisUrl }).catch((error) => error)
    expect(error).toMatchObject({ name: 'StoreError', code: 'unreachable' })
    expect(error.message).toBe(
      `Redis at 127.0.0.1:${port} does not answer (connect ECONNREFUSED 127.0.0.1:${port}): start it, correct REDIS_URL, or unset that to keep jobs in a file.`,
    )
  })

  it.each(['localhost', 'http://127.0.0.1:1'])('refuses %s as an address', async (redisUrl) => {
    await expect(openJobStore({ dataDir: '/nowhere', redisUrl })).rejects.toMatchObject({ name: 'StoreError' })
  })

  it('names a wrong password', async () => {
    const { port } = await redis('right')
    const opening = openJobStore({ dataDir: '/nowhere', redisUrl: `redis://:wrong@127.0.0.1:${port}` })
    await expect(opening).rejects.toThrow(`Redis at 127.0.0.1:${port} refused the password: correct it in REDIS_URL.`)
  })

  it('can be left while it is away', async () => {
    const { server, port } = await redis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: `redis://127.0.0.1:${port}` })
    await server.close()
    await expect(store.get('0123456789abcdef')).rejects.toMatchObject({ code: 'unreachable' })
    await store.close()
  })

  it('rejects a put while it is full or away, and goes on when it is back', async () => {
    const { server, port } = await redis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: `redis://127.0.0.1:${port}` })
    onTestFinished(() => store.close())
    server.refusing = 'OOM command not allowed when used memory > maxmemory.'
    await expect(store.put(newJob())).rejects.toMatchObject({ code: 'full' })
    await server.close()
    await expect(store.put(newJob())).rejects.toMatchObject({ code: 'unreachable' })
    const again = new FakeRedis()
    onTestFinished(() => again.close())
    await again.listen(port)
    await vi.waitFor(() => store.put(newJob()), { timeout: 10_000 })
  })
})

/** A database in memory whose writes fail from the `crash`th on. */
function memory(disk: Map<string, Map<string, string>>, crash = Number.POSITIVE_INFINITY): Database {
  let writes = 0
  const written = () => {
    if (writes++ >= crash) throw new Error('crashed')
  }
  return {
    adapter(namespace) {
      const table = disk.get(namespace) ?? new Map<string, string>()
      disk.set(namespace, table)
      return {
        get: async (key) => table.get(key) as never,
        set: async (key, value) => {
          written()
          table.set(key, value)
        },
        delete: async (key) => {
          written()
          return table.delete(key)
        },
        clear: async () => table.clear(),
        iterator: async function* () {
          yield* [...table]
        },
      }
    },
    error: (cause) => cause as Error,
    close: async () => {},
  }
}
