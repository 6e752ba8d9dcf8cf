import { chmod, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import Libsql from 'libsql'
import { afterEach, describe, expect, it, onTestFinished, test, vi } from 'vitest'
import type { Job } from '../../src/job/job.ts'
import { JOB_DAYS, keyvJobStore, openJobStore } from '../../src/store/jobs.ts'
import type { Adapter, Database } from '../../src/store/keyv.ts'
import type { JobStore } from '../../src/store/store.ts'
import { newJob, request, temporaryFolder } from '../queue/jobs.ts'
import { hasRedis, startRedis } from '../redis.ts'

const DAY_MS = 86_400_000
/** Longer than any machine takes. */
const WAIT = { timeout: 60_000 }

async function fileStore(): Promise<JobStore> {
  const store = await openJobStore({ dataDir: await temporaryFolder() })
  onTestFinished(() => store.close())
  return store
}

async function redisStore(): Promise<JobStore> {
  const { url } = await startRedis()
  const store = await openJobStore({ dataDir: '/nowhere', redisUrl: url })
  onTestFinished(() => store.close())
  return store
}

describe.each([
  ['a file', fileStore, true],
  ['Redis', redisStore, hasRedis],
])('jobs in %s', (_, open, isHere) => {
  const it = test.runIf(isHere)

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

  it('of an earlier version have the way to their answer as it is kept today', async () => {
    const store = await open()
    const job = newJob()
    await store.put({ ...job, place: { ...job.place, reply: '/webhooks/1/token' as never } })
    const reply = { route: '/webhooks/1/token', until: job.createdAt + 15 * 60_000 }
    expect((await store.get(job.id))?.place.reply).toEqual(reply)
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

  it('gives files and folders to nobody else', async () => {
    const dataDir = join(await temporaryFolder(), 'data')
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777
    const store = await openJobStore({ dataDir })
    await store.put(newJob())
    expect(await modeOf(dataDir)).toBe(0o700)
    for (const name of await readdir(dataDir)) expect([name, await modeOf(join(dataDir, name))]).toEqual([name, 0o600])
    await store.close()
    // As an older Seedling left it.
    await chmod(join(dataDir, 'jobs.db'), 0o644)
    await (await openJobStore({ dataDir })).close()
    expect(await modeOf(join(dataDir, 'jobs.db'))).toBe(0o600)
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
  ])('keeps the file when it %s, names it, and goes on', async (_, damage) => {
    const dataDir = await temporaryFolder()
    const store = await openJobStore({ dataDir })
    for (let i = 0; i < 50; i++) await store.put(newJob())
    await store.close()
    const file = join(dataDir, 'jobs.db')
    await damage(file)
    const damaged = await readFile(file)
    const log: string[] = []
    const next = await openJobStore({ dataDir, log: (line) => log.push(line) })
    expect(log).toEqual([expect.stringMatching(/jobs\.db is damaged and is kept as .*\.recover \|/)])
    const [, kept] = / kept as (\S+); /.exec(log[0]!)!
    expect(await readFile(kept!)).toEqual(damaged)
    const job = newJob()
    await next.put(job)
    await next.close()
    const again = await openJobStore({ dataDir, log: (line) => log.push(line) })
    expect(await again.unanswered()).toEqual([job])
    await again.close()
    expect(log).toHaveLength(1)
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

describe('broken records', () => {
  const good = newJob()
  const whole = JSON.stringify({ value: good })
  const { request: _, ...withoutRequest } = good
  const broken: Record<string, string> = {
    '00000000000000a1': 'hello',
    '00000000000000a2': whole.slice(0, 100),
    '00000000000000a3': '{"value":null}',
    '00000000000000a4': '{"value":42}',
    '00000000000000a5': whole, // Another job's.
    '00000000000000a6': JSON.stringify({ value: { ...withoutRequest, id: '00000000000000a6' } }),
    '00000000000000a7': JSON.stringify({ value: { ...good, id: '00000000000000a7', state: 'dreaming' } }),
    '00000000000000a8': JSON.stringify({ value: { ...good, id: '00000000000000a8', author: { id: '1' } } }),
    '00000000000000a9': JSON.stringify({ value: { ...good, id: '00000000000000a9', action: 'dance' } }),
  }

  async function expectSetAside(store: JobStore, log: string[]): Promise<void> {
    expect(await store.unanswered()).toEqual([good])
    for (const id of Object.keys(broken)) {
      expect(log.filter((line) => line.includes(`job "${id}" was set aside`))).toHaveLength(1)
      expect(await store.get(id)).toBeUndefined()
    }
    expect(log).toHaveLength(Object.keys(broken).length)
    expect(await store.unanswered()).toEqual([good])
  }

  it('of a file are set aside, and the others are found', async () => {
    const dataDir = await temporaryFolder()
    const before = await openJobStore({ dataDir })
    await before.put(good)
    await before.close()
    const database = new Libsql(join(dataDir, 'jobs.db'))
    for (const [id, text] of Object.entries(broken)) {
      database.prepare('INSERT INTO "seedling:jobs" VALUES (?, ?, NULL)').run(id, text)
      database.prepare('INSERT INTO "seedling:unanswered" VALUES (?, ?, NULL)').run(id, 'nonsense')
    }
    database.prepare('INSERT INTO "seedling:measures" VALUES (?, ?, NULL)').run('speed', 'fast')
    database.close()

    const log: string[] = []
    const store = await openJobStore({ dataDir, log: (line) => log.push(line) })
    await expectSetAside(store, log)
    expect(await store.getMeasure('speed')).toBeUndefined()
    await store.close()
    const after = new Libsql(join(dataDir, 'jobs.db'))
    const rows = after.prepare('SELECT key, value FROM "seedling:aside" ORDER BY key').all()
    after.close()
    expect(rows).toEqual(Object.entries(broken).map(([key, value]) => ({ key, value })))
  })

  it.runIf(hasRedis)('of Redis are set aside, and the others are found', async () => {
    const server = await startRedis()
    const client = await server.client()
    for (const [id, text] of Object.entries(broken)) {
      await client.set(`seedling:jobs::${id}`, text)
      await client.set(`seedling:unanswered::${id}`, 'nonsense')
    }
    await client.set('seedling:unanswered::00000000000000b1', '1')
    await client.lPush('seedling:jobs::00000000000000b1', 'a list')
    const log: string[] = []
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url, log: (line) => log.push(line) })
    onTestFinished(() => store.close())
    await store.put(good)
    expect(await store.get('00000000000000b1')).toBeUndefined()
    expect(log.splice(0)).toEqual([expect.stringContaining('job "00000000000000b1" was set aside')])
    await expectSetAside(store, log)
    for (const [id, text] of Object.entries(broken)) {
      expect(await client.get(`seedling:aside:seedling:jobs::${id}`)).toBe(text)
    }
  })
})

describe('versions', () => {
  it('brings up a file that was made before there were versions, without the tokens of interactions that ended', async () => {
    const dataDir = await temporaryFolder()
    const database = new Libsql(join(dataDir, 'jobs.db'))
    for (const name of ['jobs', 'unanswered', 'measures']) {
      database.exec(
        `CREATE TABLE "seedling:${name}" (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires INTEGER) WITHOUT ROWID`,
      )
    }
    const place = { platform: 'discord', guild: 'g', channel: 'c', reply: '/webhooks/1/a-secret-token' }
    const old = { ...newJob({ state: 'failed', answeredAt: 1 }), place }
    const insert = database.prepare('INSERT INTO "seedling:jobs" VALUES (?, ?, NULL)')
    insert.run(old.id, JSON.stringify({ value: old }))
    insert.run('x', 'no JSON')
    database.close()
    const store = await openJobStore({ dataDir })
    const { reply: _, ...rest } = place
    expect(await store.get(old.id)).toEqual({ ...old, place: rest })
    await store.close()
    expect((await readFile(join(dataDir, 'jobs.db'))).includes('a-secret-token')).toBe(false)
  })

  it('leaves alone what a newer Seedling wrote', async () => {
    const dataDir = await temporaryFolder()
    await (await openJobStore({ dataDir })).close()
    const database = new Libsql(join(dataDir, 'jobs.db'))
    database.exec('PRAGMA user_version = 99')
    database.close()
    await expect(openJobStore({ dataDir })).rejects.toMatchObject({
      code: 'version',
      message: expect.stringMatching(/jobs\.db was written by a newer Seedling \(version 99.*SEEDLING_DATA/),
    })
  })

  it('says so where the tables are not ours', async () => {
    const dataDir = await temporaryFolder()
    const database = new Libsql(join(dataDir, 'jobs.db'))
    database.exec('CREATE TABLE "seedling:jobs" (id TEXT, job TEXT)')
    database.close()
    const error = await openJobStore({ dataDir }).catch((error) => error)
    expect(error).toMatchObject({ name: 'StoreError', code: 'version' })
    expect(error.message).toMatch(/jobs\.db holds other tables than Seedling's/)
    expect(error.message).not.toContain('SQLITE_ERROR')
  })

  it.runIf(hasRedis)('leaves alone what a newer Seedling wrote to Redis', async () => {
    const server = await startRedis()
    await (await server.client()).set('seedling:version', '99')
    await expect(openJobStore({ dataDir: '/nowhere', redisUrl: server.url })).rejects.toMatchObject({ code: 'version' })
  })
})

describe.runIf(hasRedis)('Redis', () => {
  it('is given an end to every record, under names of our own', async () => {
    const server = await startRedis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    const job = newJob()
    await store.put(job)
    const client = await server.client()
    const records = (await client.keys('*')).filter((key) => key.includes('::')).toSorted()
    expect(records).toEqual([`seedling:jobs::${job.id}`, `seedling:unanswered::${job.id}`])
    for (const key of records) {
      expect(await client.pTTL(key)).toBeGreaterThan((JOB_DAYS - 1) * DAY_MS)
      expect(await client.pTTL(key)).toBeLessThanOrEqual(JOB_DAYS * DAY_MS)
    }
    await store.close()
  })

  it('gives one clear error when nobody answers, without the password', async () => {
    const server = await startRedis()
    await server.kill()
    const redisUrl = `redis://user:secret@127.0.0.1:${server.port}`
    const error = await openJobStore({ dataDir: '/nowhere', redisUrl }).catch((error) => error)
    expect(error).toMatchObject({ name: 'StoreError', code: 'unreachable' })
    expect(error.message).toBe(
      `Redis at 127.0.0.1:${server.port} does not answer (connect ECONNREFUSED 127.0.0.1:${server.port}): start it, correct REDIS_URL, or unset that to keep jobs in a file.`,
    )
  })

  it.each(['localhost', 'http://127.0.0.1:1'])('refuses %s as an address', async (redisUrl) => {
    await expect(openJobStore({ dataDir: '/nowhere', redisUrl })).rejects.toMatchObject({ name: 'StoreError' })
  })

  it('names a wrong password', async () => {
    const { port } = await startRedis('right')
    const opening = openJobStore({ dataDir: '/nowhere', redisUrl: `redis://:wrong@127.0.0.1:${port}` })
    await expect(opening).rejects.toThrow(`Redis at 127.0.0.1:${port} refused the password: correct it in REDIS_URL.`)
  })

  it('can be left while it is away', async () => {
    const server = await startRedis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    await server.kill()
    await expect(store.get('0123456789abcdef')).rejects.toMatchObject({ code: 'unreachable' })
    await store.close()
  })

  it('rejects a put while it is full, away or silent, and goes on when it is back', async () => {
    const server = await startRedis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    onTestFinished(() => store.close())
    const client = await server.client()
    await client.configSet('maxmemory', '1')
    await expect(store.put(newJob())).rejects.toMatchObject({ code: 'full' })
    await client.configSet('maxmemory', '0')
    await store.put(newJob())

    server.freeze()
    await expect(store.put(newJob())).rejects.toMatchObject({ code: 'unreachable' })
    server.thaw()
    await vi.waitFor(() => store.put(newJob()), WAIT)

    await server.kill()
    await expect(store.put(newJob())).rejects.toMatchObject({ code: 'unreachable' })
    await server.start()
    await vi.waitFor(() => store.put(newJob()), WAIT)
  })
})

describe.runIf(hasRedis)('two programs on one Redis', () => {
  it('take turns: the second waits, says so once, and takes over when the first ends', async () => {
    const server = await startRedis()
    const first = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    const log: string[] = []
    let opened = false
    const opening = openJobStore({ dataDir: '/nowhere', redisUrl: server.url, log: (line) => log.push(line) })
    opening.then(() => {
      opened = true
    })
    await vi.waitFor(() => expect(log).toEqual([expect.stringMatching(/in use by another Seedling.*takes over/)]), WAIT)
    const job = newJob()
    await first.put(job)
    expect(opened).toBe(false)
    await first.close()
    const second = await opening
    onTestFinished(() => second.close())
    expect(await second.unanswered()).toEqual([job])
    expect(log).toHaveLength(1)
  })

  it('a wait can be given up', async () => {
    const server = await startRedis()
    const first = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    onTestFinished(() => first.close())
    const giveUp = new AbortController()
    const log = () => giveUp.abort(new Error('No more.'))
    const second = openJobStore({ dataDir: '/nowhere', redisUrl: server.url, log, signal: giveUp.signal })
    await expect(second).rejects.toThrow('No more.')
  })

  it('one that was taken for dead writes nothing any more, however late', async () => {
    const server = await startRedis()
    const first = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    onTestFinished(() => first.close())
    const job = newJob()
    await first.put(job)
    // As if it had been stopped for longer than its lease runs.
    await (await server.client()).del('seedling:lease')
    const second = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    onTestFinished(() => second.close())
    await second.put({ ...job, state: 'running' })
    await expect(first.put({ ...job, state: 'failed' })).rejects.toMatchObject({ name: 'StoreError', code: 'lost' })
    expect(first.lost.aborted).toBe(true)
    expect(await second.get(job.id)).toMatchObject({ state: 'running' })
  })

  it('a lease outlives a Redis that was away for longer, or that forgot everything', async () => {
    const server = await startRedis()
    const store = await openJobStore({ dataDir: '/nowhere', redisUrl: server.url })
    onTestFinished(() => store.close())
    await (await server.client()).flushAll()
    await store.put(newJob())
    expect(store.lost.aborted).toBe(false)
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
        setAside: async (key) => void table.delete(key),
        iterator: async function* () {
          yield* [...table]
        },
      }
    },
    aside: 'nowhere',
    lost: new AbortController().signal,
    error: (cause) => cause as Error,
    close: async () => {},
  }
}
