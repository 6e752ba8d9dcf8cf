import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { viewOf } from '../../src/bot/view.ts'
import { EngineError } from '../../src/engine/errors.ts'
import { UserError } from '../../src/job/errors.ts'
import type { Job } from '../../src/job/job.ts'
import { StoreError } from '../../src/store/errors.ts'
import type { JobStore } from '../../src/store/store.ts'
import { newJob, openHouse, request, temporaryFolder } from './jobs.ts'

/** Longer than any machine takes. */
const WAIT = { timeout: 60_000 }

describe('a job', () => {
  it('is stored before it is queued, drawn, kept, and then forgotten by the memory', async () => {
    const { queue, engine, jobs, pictures, reached, changes } = await openHouse()
    const job = await queue.add(newJob({ request: { ...request, variations: [{ seed: 1, strength: 0.2 }] } }))
    expect(await jobs.get(job.id)).toEqual(job)
    expect(queue.progress(job.id)).toEqual({ position: 1 })

    const call = await engine.call(1)
    expect(call.request).toMatchObject({ prompt: 'a red apple', guidanceScale: 4, upscale: 1 })
    expect(call.request.images).toEqual([
      { seed: 7, variations: [{ seed: 1, strength: 0.2 }] },
      { seed: 7, variations: [{ seed: 2, strength: 0.2 }] },
    ])
    expect(await jobs.get(job.id)).toMatchObject({ state: 'running', attempts: 1 })
    const preview = new Uint8Array([1, 2, 3])
    call.step(3, 10, preview)
    call.step(4, 10)
    expect(queue.progress(job.id)).toMatchObject({ step: 4, steps: 10, preview })
    call.finish()

    const done = await reached(job.id, 'done')
    expect(done.pictures).toMatchObject([
      { index: 0, seed: 7, variations: [{ seed: 1, strength: 0.2 }], width: 64, height: 64, bytes: 32, nsfw: false },
      { index: 1, variations: [{ seed: 2, strength: 0.2 }] },
    ])
    expect(await pictures.read(job.id, 1)).toHaveLength(32)
    expect(await jobs.get(job.id)).toEqual(done)
    expect(queue.progress(job.id)).toEqual({})
    const seen = changes.map(({ job, progress }) => [job.state, progress.step])
    expect(seen).toEqual([
      ['running', undefined],
      ['running', 3],
      ['running', 4],
      ['done', undefined],
    ])
  })

  it('remembers its message, and that it was answered once it is finished', async () => {
    const { queue, engine, jobs, reached } = await openHouse()
    const { id } = await queue.add(newJob())
    expect((await queue.placed(id, 'message 1')).place.message).toBe('message 1')
    await queue.answered(id)
    expect((await jobs.get(id))!.answeredAt).toBeUndefined()
    ;(await engine.call(1)).finish()
    await reached(id, 'done')
    expect(await jobs.unanswered()).toHaveLength(1)
    await queue.answered(id)
    expect(await jobs.unanswered()).toEqual([])
    expect(await queue.get(id)).toMatchObject({ state: 'done', place: { message: 'message 1' } })
    await queue.answered('0000000000000000')
    await expect(queue.placed('0000000000000000', 'm')).rejects.toMatchObject({ code: 'gone' })
  })

  it('shows no pictures when they have expired', async () => {
    const { queue, engine, pictures, reached } = await openHouse()
    const { id } = await queue.add(newJob())
    ;(await engine.call(1)).finish()
    expect((await reached(id, 'done')).pictures).toHaveLength(2)
    await pictures.remove(id)
    expect((await queue.get(id))!.pictures).toEqual([])
  })

  it('knows its place in line, and its time once a job was measured', async () => {
    const house = await openHouse()
    const { queue, engine, changes, reached } = house
    const ids: string[] = []
    for (let i = 0; i < 4; i++) ids.push((await queue.add(newJob({ createdAt: i }))).id)
    await engine.call(1)
    expect(ids.map((id) => queue.progress(id).position)).toEqual([undefined, 1, 2, 3])
    expect(queue.progress(ids[3]!).etaSeconds).toBeUndefined()
    engine.calls[0]!.finish()
    await reached(ids[0]!, 'done')
    await engine.call(2)
    expect(ids.map((id) => queue.progress(id).position)).toEqual([undefined, undefined, 1, 2])
    const [second, third] = [queue.progress(ids[2]!).etaSeconds!, queue.progress(ids[3]!).etaSeconds!]
    expect(second).toBeGreaterThanOrEqual(0)
    expect(third).toBeGreaterThanOrEqual(second)
    await queue.cancel(ids[2]!)
    expect(queue.progress(ids[3]!).position).toBe(1)
    const told = () => changes.filter(({ job }) => job.id === ids[3]).map(({ progress }) => progress.position)
    await vi.waitFor(() => expect(told()).toEqual([3, 2, 1]), WAIT)
  })

  it('knows the speed of the model after a restart', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    const { id } = await before.queue.add(newJob())
    ;(await before.engine.call(1)).finish()
    await before.reached(id, 'done')
    await before.stop()
    const after = await openHouse({ dataDir })
    await after.queue.recover()
    const next = await after.queue.add(newJob())
    await after.engine.call(1)
    expect(after.queue.progress(next.id).etaSeconds).toBeGreaterThanOrEqual(0)
  })
})

describe('cancel and delete', () => {
  it('takes a waiting job out of the line', async () => {
    const { queue, engine, jobs, reached } = await openHouse()
    const [first, second, third] = [await queue.add(newJob()), await queue.add(newJob()), await queue.add(newJob())]
    await engine.call(1)
    expect(await queue.cancel(second.id)).toMatchObject({ state: 'cancelled' })
    expect(await jobs.get(second.id)).toMatchObject({ state: 'cancelled', attempts: 0 })
    engine.calls[0]!.finish()
    ;(await engine.call(2)).finish()
    await reached(first.id, 'done')
    await reached(third.id, 'done')
    expect(engine.calls).toHaveLength(2)
  })

  it('stops a running job, and the engine is given the next one only when it is free', async () => {
    const { queue, engine, reached } = await openHouse()
    const [first, second] = [await queue.add(newJob()), await queue.add(newJob())]
    const call = await engine.call(1)
    expect(await queue.cancel(first.id)).toMatchObject({ state: 'cancelled' })
    expect(call.signal!.aborted).toBe(true)
    ;(await engine.call(2)).finish()
    await reached(second.id, 'done')
    expect(engine.most).toBe(1)
  })

  it('leaves a finished job as it is', async () => {
    const { queue, engine, reached } = await openHouse()
    const { id } = await queue.add(newJob())
    ;(await engine.call(1)).finish()
    const done = await reached(id, 'done')
    expect(await queue.cancel(id)).toEqual(done)
  })

  it('leaves no picture of a job that was cancelled while its pictures were written', async () => {
    let write = () => {}
    const written = new Promise<void>((resolve) => {
      write = resolve
    })
    let writing = () => {}
    const started = new Promise<void>((resolve) => {
      writing = resolve
    })
    const house = await openHouse({
      pictures: (store) =>
        instead(store, {
          write: async (job, index, png) => {
            writing()
            await written
            await store.write(job, index, png)
          },
        }),
    })
    const { id } = await house.queue.add(newJob())
    ;(await house.engine.call(1)).finish()
    await started
    await house.queue.delete(id)
    write()
    // The next job starts when all of this one is over.
    await house.queue.add(newJob())
    await house.engine.call(2)
    expect(await house.pictures.has(id)).toBe(false)
    expect(await house.queue.get(id)).toMatchObject({ state: 'cancelled', pictures: [] })
  })

  it.each(['queued', 'running', 'done'] as const)('deletes a %s job', async (state) => {
    const { queue, engine, jobs, pictures, changes, reached } = await openHouse()
    if (state === 'queued') await queue.add(newJob())
    const { id } = await queue.add(newJob())
    await engine.call(1)
    if (state === 'done') {
      engine.calls[0]!.finish()
      await reached(id, 'done')
      await queue.answered(id)
    }
    const job = await queue.delete(id)
    expect(job).toMatchObject({ state: state === 'done' ? 'done' : 'cancelled', pictures: [] })
    expect(job.deletedAt).toBeGreaterThan(0)
    expect(await pictures.has(id)).toBe(false)
    expect(changes.at(-1)!.job).toEqual(job)
    // Its message is still to be removed, after a crash too.
    expect((await jobs.unanswered()).map(({ id }) => id)).toContain(id)
    expect((await queue.delete(id)).deletedAt).toBe(job.deletedAt)
  })
})

describe('limits', () => {
  it('lets as many jobs of a person and as many people of a guild wait as stated, and says so in words', async () => {
    const { queue, engine } = await openHouse({ limits: { waitingPerPerson: 2, waitingPerGuild: 3 } })
    await queue.add(newJob({ author: 'ann' }))
    await engine.call(1)
    const waiting = await queue.add(newJob({ author: 'ann' }))
    await queue.add(newJob({ author: 'ann', guild: 'elsewhere' }))
    await expect(queue.add(newJob({ author: 'ann' }))).rejects.toThrow(
      'You have 2 jobs waiting, and 2 is the most for one person; cancel one, or ask again when one has started.',
    )
    // Whoever asks for much takes nobody's place.
    for (const author of ['bob', 'cid', 'bob', 'cid']) await queue.add(newJob({ author }))
    const refusal = await queue.add(newJob({ author: 'dan' })).catch((error) => error)
    expect(refusal).toBeInstanceOf(UserError)
    expect(refusal).toMatchObject({
      code: 'limit',
      message: expect.stringContaining('3 people have jobs waiting here'),
    })
    await queue.cancel(waiting.id)
    await queue.add(newJob({ author: 'dan' }))
    await expect(queue.add(newJob({ author: 'eve' }))).rejects.toMatchObject({ code: 'limit' })
  })

  it('holds when 200 ask at once', async () => {
    const { queue, jobs } = await openHouse({ limits: { waitingPerPerson: 10, waitingPerGuild: 10 } })
    const answers = await Promise.allSettled(Array.from({ length: 200 }, () => queue.add(newJob())))
    // One may have started by then; not more.
    const taken = answers.filter(({ status }) => status === 'fulfilled').length
    expect(taken).toBeGreaterThanOrEqual(10)
    expect(taken).toBeLessThanOrEqual(11)
    expect(await jobs.unanswered()).toHaveLength(taken)
  })

  it('does not count what a restart lines up again', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    for (let i = 0; i < 5; i++) await before.queue.add(newJob())
    await before.stop()
    const after = await openHouse({ dataDir, limits: { waitingPerPerson: 1, waitingPerGuild: 1 } })
    expect(await after.queue.recover()).toHaveLength(5)
    await expect(after.queue.add(newJob())).rejects.toMatchObject({ code: 'limit' })
  })
})

describe('when something breaks', () => {
  it('gives the engine a job once more after a crash', async () => {
    const { queue, engine, reached } = await openHouse()
    const { id } = await queue.add(newJob())
    ;(await engine.call(1)).fail(new EngineError('crashed', 'The engine process ended.'))
    ;(await engine.call(2)).finish()
    expect(await reached(id, 'done')).toMatchObject({ attempts: 2 })
    expect(engine.calls[1]!.request).toEqual(engine.calls[0]!.request)
  })

  it('gives a job up with an apology when the engine crashes again, and goes on with the next', async () => {
    const { queue, engine, reached, log } = await openHouse()
    const [bad, good] = [await queue.add(newJob()), await queue.add(newJob())]
    for (const count of [1, 2]) {
      ;(await engine.call(count)).fail(new EngineError('crashed', 'The engine process ended.'))
    }
    expect((await reached(bad.id, 'failed')).error).toMatch(/^Sorry, /)
    ;(await engine.call(3)).finish()
    await reached(good.id, 'done')
    expect(log.join('\n')).toContain('The engine process ended.')
  })

  it("fails with the engine's own sentence, or with an apology that tells no secrets", async () => {
    const { queue, engine, reached, log } = await openHouse()
    const [first, second, third] = [await queue.add(newJob()), await queue.add(newJob()), await queue.add(newJob())]
    ;(await engine.call(1)).fail(new EngineError('numeric', 'The model computed NaN; use another dtype.'))
    expect((await reached(first.id, 'failed')).error).toBe('The model computed NaN; use another dtype.')
    ;(await engine.call(2)).fail(new TypeError('/home/secret/path is undefined'))
    expect((await reached(second.id, 'failed')).error).toMatch(/^Sorry, /)
    ;(await engine.call(3)).fail(new EngineError('model', '/home/secret/model cannot be written to; make it writable.'))
    expect((await reached(third.id, 'failed')).error).toMatch(/^Sorry, /)
    for (const { id } of [second, third]) expect((await queue.get(id))!.error).not.toContain('secret')
    expect(log.join('\n')).toContain('/home/secret/path')
    expect(log.join('\n')).toContain('/home/secret/model')
  })

  it('refuses a job that cannot be stored, and takes the next one', async () => {
    const full = failing()
    const { queue, engine, log, reached } = await openHouse({ jobs: full.wrap })
    full.on = true
    const refusal = await queue.add(newJob()).catch((error) => error)
    expect(refusal).toMatchObject({ name: 'UserError', code: 'unavailable' })
    expect(refusal.message).not.toContain('/data')
    expect(log.join('\n')).toContain('/data is full')
    full.on = false
    const { id } = await queue.add(newJob())
    ;(await engine.call(1)).finish()
    await reached(id, 'done')
  })

  it('fails a job aloud when its own pictures cannot be kept, and loses nothing else', async () => {
    const { queue, engine, reached } = await openHouse({
      pictures: (store) =>
        instead(store, {
          write: (job, index, png) =>
            job === first.id
              ? Promise.reject(new StoreError('failed', '/data is broken.'))
              : store.write(job, index, png),
        }),
    })
    const [first, second] = [await queue.add(newJob()), await queue.add(newJob())]
    ;(await engine.call(1)).finish()
    expect((await reached(first.id, 'failed')).error).toMatch(/^Sorry, .*kept/)
    ;(await engine.call(2)).finish()
    await reached(second.id, 'done')
  })
})

describe('while the store cannot be written', () => {
  it('the line waits, says so once, and goes on; no job fails', async () => {
    const full = failing()
    const { queue, engine, log, changes, reached } = await openHouse({ jobs: full.wrap })
    const jobs = [await queue.add(newJob()), await queue.add(newJob()), await queue.add(newJob())]
    const [first, second] = jobs as [Job, Job]
    const call = await engine.call(1)
    full.on = true
    call.step(9, 10)
    call.finish()
    const told = () => changes.filter(({ progress }) => progress.paused).map(({ job }) => job.id)
    await vi.waitFor(() => expect(told().toSorted()).toEqual(jobs.map(({ id }) => id).toSorted()), WAIT)
    expect(queue.progress(second.id)).toMatchObject({ position: 1, paused: true })
    expect(viewOf(second, queue.progress(second.id)).status).toMatch(/^Queued · next in line · paused/)
    expect(await queue.get(first.id)).toMatchObject({ state: 'running' })
    expect(log.filter((line) => line.includes('/data is full'))).toHaveLength(1)
    expect(engine.calls).toHaveLength(1)

    full.on = false
    await reached(first.id, 'done')
    for (const count of [2, 3]) (await engine.call(count)).finish()
    for (const { id } of jobs) expect(await reached(id, 'done')).toMatchObject({ attempts: 1 })
    expect(queue.progress(second.id).paused).toBeUndefined()
    expect(log.filter((line) => line.includes('goes on'))).toHaveLength(1)
  })

  it('a job waits to start, and its pictures and its message wait to be recorded', async () => {
    const full = failing()
    let pictureFull = true
    const { queue, engine, jobs, reached } = await openHouse({
      jobs: full.wrap,
      pictures: (store) =>
        instead(store, {
          write: (job, index, png) =>
            pictureFull ? Promise.reject(new StoreError('full', '/data is full.')) : store.write(job, index, png),
        }),
    })
    const { id } = await queue.add(newJob())
    full.on = true
    const placed = queue.placed(id, 'message 1')
    const next = await queue.add(newJob()).catch((error) => error)
    expect(next).toMatchObject({ code: 'unavailable' })
    full.on = false
    expect((await placed).place.message).toBe('message 1')
    ;(await engine.call(1)).finish()
    await vi.waitFor(() => expect(queue.progress(id).paused).toBe(true), WAIT)
    pictureFull = false
    expect(await reached(id, 'done')).toMatchObject({ place: { message: 'message 1' } })
    full.on = true
    const answered = queue.answered(id)
    full.on = false
    await answered
    await vi.waitFor(async () => expect(await jobs.unanswered()).toEqual([]), WAIT)
  })

  it('what was refused is not drawn after a restart, even if the store took it', async () => {
    const dataDir = await temporaryFolder()
    let failing = true
    const { queue, log, stop } = await openHouse({
      dataDir,
      jobs: (store) =>
        instead(store, {
          put: async (job) => {
            await store.put(job)
            if (failing) throw new StoreError('unreachable', 'No answer.')
          },
        }),
    })
    const job = newJob()
    await expect(queue.add(job)).rejects.toMatchObject({ code: 'unavailable' })
    failing = false
    await vi.waitFor(() => expect(log.join()).toContain('goes on'), WAIT)
    await stop()
    const after = await openHouse({ dataDir })
    expect(await after.queue.recover()).toEqual([])
    expect(await after.queue.get(job.id)).toMatchObject({ state: 'cancelled' })
  })

  it('a stop waits for nothing, and after a restart everything is drawn', async () => {
    const dataDir = await temporaryFolder()
    const full = failing()
    const { queue, engine, stop, changes } = await openHouse({ dataDir, jobs: full.wrap })
    const ids = [(await queue.add(newJob())).id, (await queue.add(newJob())).id]
    const call = await engine.call(1)
    full.on = true
    call.finish()
    await vi.waitFor(() => expect(queue.progress(ids[1]!).paused).toBe(true), WAIT)
    await stop()
    expect(changes.filter(({ job }) => job.state === 'failed')).toEqual([])
    const after = await openHouse({ dataDir })
    after.engine.free = true
    expect((await after.queue.recover()).map(({ id }) => id)).toEqual(ids)
    for (const id of ids) await after.reached(id, 'done')
  })
})

describe("an interaction's reply", () => {
  /** Ends a quarter of an hour after the interaction. */
  const placeOf = (createdAt = Date.now()) => ({
    platform: 'discord',
    guild: 'g',
    channel: 'c',
    reply: { route: '/webhooks/1/a-secret-token/messages/@original', until: createdAt + 15 * 60_000 },
  })

  it('is kept while it may be needed, and leaves the record with the answer', async () => {
    const { queue, engine, jobs, reached } = await openHouse()
    const place = placeOf()
    const { id } = await queue.add(newJob({ place }))
    await queue.placed(id, 'message 1')
    expect((await jobs.get(id))!.place).toEqual({ ...place, message: 'message 1' })
    ;(await engine.call(1)).finish()
    await reached(id, 'done')
    await queue.answered(id)
    expect(JSON.stringify(await jobs.get(id))).not.toContain('a-secret-token')
  })

  it('leaves the record when it has ended, also of a job that waits, or that cannot be shown', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const { queue, engine, jobs, reached } = await openHouse()
    const place = placeOf()
    const [shown, waiting] = [await queue.add(newJob({ place })), await queue.add(newJob({ place }))]
    ;(await engine.call(1)).finish()
    await reached(shown.id, 'done')
    await engine.call(2)
    vi.advanceTimersByTime(14 * 60_000)
    for (const { id } of [shown, waiting]) expect((await jobs.get(id))!.place.reply).toBeDefined()
    vi.advanceTimersByTime(3 * 60_000)
    for (const { id } of [shown, waiting]) {
      await vi.waitFor(async () => expect((await jobs.get(id))!.place.reply).toBeUndefined(), WAIT)
    }
  })

  it('of a job that a restart finds too late leaves it, too', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    const createdAt = Date.now() - 16 * 60_000
    const old = newJob({ place: placeOf(createdAt), createdAt })
    await before.jobs.put(old)
    await before.stop()
    const after = await openHouse({ dataDir })
    await after.queue.recover()
    ;(await after.engine.call(1)).finish()
    expect((await after.reached(old.id, 'done')).place.reply).toBeUndefined()
  })
})

describe('a long line', () => {
  it('tells a place when it matters: near the front, and in coarse steps', async () => {
    const { queue, engine, changes, reached } = await openHouse({ limits: { waitingPerPerson: 1000 } })
    const ids: string[] = []
    for (let i = 0; i < 100; i++) ids.push((await queue.add(newJob())).id)
    engine.free = true
    ;(await engine.call(1)).finish()
    for (const id of ids) await reached(id, 'done')
    const told = changes.filter(({ job }) => job.id === ids[99] && job.state === 'queued')
    const places = told.map(({ progress }) => progress.position!)
    expect(places).toEqual([99, 50, 20, 10, 5, 3, 2, 1])
  })
})

describe('a restart', () => {
  it('interrupts what runs, keeps the order, and makes the very same pictures', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push((await before.queue.add(newJob({ request: { ...request, seed: i } }))).id)
    const { signal, request: interrupted } = await before.engine.call(1)
    await before.stop()
    expect(signal!.aborted).toBe(true)
    await expect(before.queue.add(newJob())).rejects.toMatchObject({ code: 'unavailable' })
    expect(before.engine.calls).toHaveLength(1)

    const after = await openHouse({ dataDir })
    const recovered = await after.queue.recover()
    expect(recovered.map(({ id, state, attempts }) => [id, state, attempts])).toEqual(
      ids.map((id) => [id, 'queued', 0]),
    )
    after.engine.free = true
    for (const id of ids) await after.reached(id, 'done')
    expect(after.engine.calls[0]!.request).toEqual(interrupted)
    expect(after.engine.calls.map(({ request }) => request.images[0]!.seed)).toEqual([0, 1, 2])
  })

  it('announces what was finished and not answered, and nothing else', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    before.engine.free = true
    const [told, untold] = [await before.queue.add(newJob()), await before.queue.add(newJob())]
    for (const { id } of [told, untold]) await before.reached(id, 'done')
    await before.queue.answered(told.id)
    await before.stop()

    const after = await openHouse({ dataDir })
    expect(await after.queue.recover()).toMatchObject([{ id: untold.id, state: 'done' }])
    expect(after.changes.map(({ job }) => job.id)).toEqual([untold.id])
    expect(after.engine.calls).toEqual([])
  })

  it('on another machine draws again what was not shown yet: the pictures are on the first', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    before.engine.free = true
    const { id } = await before.queue.add(newJob())
    const { pictures } = await before.reached(id, 'done')
    await before.pictures.remove(id)
    await before.stop()
    const after = await openHouse({ dataDir })
    expect(await after.queue.recover()).toMatchObject([{ id, state: 'queued', pictures: [] }])
    after.engine.free = true
    expect((await after.reached(id, 'done')).pictures).toEqual(pictures)
  })

  it('leaves alone what began after the start', async () => {
    const { queue, engine, reached } = await openHouse()
    const { id } = await queue.add(newJob())
    await engine.call(1)
    expect(await queue.recover()).toEqual([])
    engine.calls[0]!.finish()
    await reached(id, 'done')
    expect(engine.calls).toHaveLength(1)
  })

  it('gives up a job in which the program died twenty times', async () => {
    const dataDir = await temporaryFolder()
    const before = await openHouse({ dataDir })
    const [often, tooOften] = [newJob({ state: 'running', attempts: 19 }), newJob({ state: 'running', attempts: 20 })]
    for (const job of [often, tooOften]) await before.jobs.put(job)
    await before.stop()
    const { queue, engine, reached } = await openHouse({ dataDir })
    await queue.recover()
    expect((await reached(tooOften.id, 'failed')).error).toBe(
      'Sorry, this was interrupted 20 times and is given up; please try another.',
    )
    ;(await engine.call(1)).finish()
    expect(await reached(often.id, 'done')).toMatchObject({ attempts: 20 })
  })
})

/** A store of which some methods do something else. */
function instead<Store extends object>(store: Store, other: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member = Reflect.get(name in other ? other : target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

/** A job store whose disk fills up when the test says so. */
function failing() {
  const disk = {
    on: false,
    wrap: (store: JobStore): JobStore =>
      instead(store, {
        putMeasure: (name, value) => disk.check().then(() => store.putMeasure(name, value)),
        probe: () => disk.check().then(() => store.probe()),
        put: (job) => disk.check().then(() => store.put(job)),
      }),
    check: async () => {
      if (disk.on) throw new StoreError('full', '/data is full.')
    },
  }
  return disk
}
