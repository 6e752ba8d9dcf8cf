import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FairQueue } from '../../src/queue/fairness.ts'
import { forecast } from '../../src/queue/forecast.ts'
import { MOST_OVERTAKEN, RATE_INTERVAL_MS, Turns } from '../../src/queue/turns.ts'

const OPENING_MS = 1000

/** A fair queue whose jobs take as long as they are told to, by a clock that the test moves. */
class Bench {
  readonly queue: FairQueue
  readonly started: string[] = []
  readonly startedAt = new Map<string, number>()
  readonly doneAt = new Map<string, number>()
  /** How often a model was opened; one is open at a time. */
  opened = 0
  readonly #durations = new Map<string, number>()
  readonly #models = new Map<string, string>()
  #open = 'usual'
  #running = 0

  constructor(jobsPerMinute: number) {
    const isOpen = (model: string) => model === this.#open
    this.queue = new FairQueue(jobsPerMinute, (id) => this.#run(id), isOpen)
  }

  add(id: string, guild: string, ms: number, person = 'somebody', model = 'usual'): void {
    this.#durations.set(id, ms)
    this.#models.set(id, model)
    this.queue.add({ id, guild, person, model })
  }

  async #run(id: string): Promise<void> {
    expect(++this.#running).toBe(1)
    this.started.push(id)
    const model = this.#models.get(id)!
    if (model !== this.#open) {
      this.opened++
      await new Promise((resolve) => setTimeout(resolve, OPENING_MS))
      this.#open = model
    }
    this.startedAt.set(id, performance.now())
    await new Promise((resolve) => setTimeout(resolve, this.#durations.get(id)))
    this.doneAt.set(id, performance.now())
    this.#running--
  }

  forecast() {
    const now = performance.now()
    const msOf = (id: string) => {
      const since = this.startedAt.get(id)
      return this.#durations.get(id)! - (since === undefined ? 0 : now - since)
    }
    const { turns, running } = this.queue
    return forecast({ turns, running, now, msOf, open: [this.#open], msToOpen: () => OPENING_MS })
  }
}

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

describe('guilds take turns', () => {
  it('lets one job of a guild pass before the second of fifty', async () => {
    const bench = new Bench(1000)
    for (let i = 0; i < 50; i++) bench.add(`many ${i}`, 'many', 100)
    await vi.advanceTimersByTimeAsync(50)
    bench.add('one', 'few', 100)
    await vi.runAllTimersAsync()
    expect(bench.started.slice(0, 4)).toEqual(['many 0', 'one', 'many 1', 'many 2'])
    expect(bench.started).toHaveLength(51)
  })

  it('makes nobody wait for more than one job of each other guild for each of their own', async () => {
    const arrivals = fc.array(fc.record({ guild: fc.nat(4), ms: fc.integer({ min: 1, max: 500 }), gap: fc.nat(300) }), {
      minLength: 1,
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(arrivals, async (arrivals) => {
        const bench = new Bench(1000)
        const bounds = new Map<string, number>()
        for (const [index, { guild, ms, gap }] of arrivals.entries()) {
          const unstarted = arrivals.slice(0, index).filter((_, other) => !bench.startedAt.has(`${other}`))
          const own = unstarted.filter((other) => other.guild === guild).length
          bounds.set(`${index}`, bench.started.length + (own + 1) * new Set(arrivals.map(({ guild }) => guild)).size)
          bench.add(`${index}`, `${guild}`, ms)
          await vi.advanceTimersByTimeAsync(gap)
        }
        await vi.runAllTimersAsync()
        expect(bench.started).toHaveLength(arrivals.length)
        for (const [id, bound] of bounds) expect(bench.started.indexOf(id)).toBeLessThanOrEqual(bound)
        // One person's own: first come, first served.
        for (const guild of new Set(arrivals.map(({ guild }) => guild))) {
          const own = bench.started.map(Number).filter((index) => arrivals[index]!.guild === guild)
          expect(own).toEqual(own.toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('people take turns within a guild', () => {
  it('lets a newcomer pass before the second of eight', async () => {
    const bench = new Bench(1000)
    for (let i = 0; i < 8; i++) bench.add(`many ${i}`, 'g', 100, 'ann')
    await vi.advanceTimersByTimeAsync(50)
    bench.add('one', 'g', 100, 'bob')
    await vi.runAllTimersAsync()
    expect(bench.started.slice(0, 4)).toEqual(['many 0', 'one', 'many 1', 'many 2'])
    expect(bench.started).toHaveLength(9)
  })

  it('makes nobody wait for more than one job of each other person for each of their own', async () => {
    const arrival = fc.record({ person: fc.nat(4), ms: fc.integer({ min: 1, max: 500 }), gap: fc.nat(300) })
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { minLength: 1, maxLength: 40 }), async (arrivals) => {
        const bench = new Bench(1000)
        const people = new Set(arrivals.map(({ person }) => person)).size
        const bounds = new Map<string, number>()
        for (const [index, { person, ms, gap }] of arrivals.entries()) {
          const unstarted = arrivals.slice(0, index).filter((_, other) => !bench.startedAt.has(`${other}`))
          const own = unstarted.filter((other) => other.person === person).length
          bounds.set(`${index}`, bench.started.length + (own + 1) * people)
          bench.add(`${index}`, 'g', ms, `${person}`)
          await vi.advanceTimersByTimeAsync(gap)
        }
        await vi.runAllTimersAsync()
        expect(bench.started).toHaveLength(arrivals.length)
        for (const [id, bound] of bounds) expect(bench.started.indexOf(id)).toBeLessThanOrEqual(bound)
      }),
      { numRuns: 60 },
    )
  })
})

describe('the rate limit', () => {
  it('makes jobs wait, lets other guilds pass, and counts any minute', async () => {
    const bench = new Bench(2)
    for (const id of ['a', 'b', 'c', 'd', 'e']) bench.add(id, 'busy', 10_000)
    bench.add('other', 'calm', 1_000)
    await vi.runAllTimersAsync()
    expect(bench.started).toEqual(['a', 'other', 'b', 'c', 'd', 'e'])
    const seconds = bench.started.map((id) => (bench.startedAt.get(id)! - bench.startedAt.get('a')!) / 1000)
    // c counts from when a started, d from when b did, e from when c did.
    expect(seconds).toEqual([0, 10, 11, 60, 71, 120])
  })

  it('is remembered for an idle guild, as long as it counts and no longer', async () => {
    const bench = new Bench(1)
    bench.add('a', 'g', 1_000)
    await vi.advanceTimersByTimeAsync(1_000)
    await vi.advanceTimersByTimeAsync(29_000)
    expect(bench.queue.size).toBe(1)
    bench.add('b', 'g', 1_000)
    await vi.advanceTimersByTimeAsync(29_999)
    expect(bench.startedAt.has('b')).toBe(false)
    await vi.advanceTimersByTimeAsync(2_000)
    expect(bench.doneAt.has('b')).toBe(true)
    await vi.advanceTimersByTimeAsync(2 * RATE_INTERVAL_MS)
    expect(bench.queue.size).toBe(0)
  })

  it('counts real time, whatever becomes of the wall clock', async () => {
    const bench = new Bench(1)
    for (const id of ['a', 'b']) bench.add(id, 'g', 1_000)
    await vi.advanceTimersByTimeAsync(30_000)
    vi.setSystemTime(Date.now() - 3_600_000)
    await vi.advanceTimersByTimeAsync(30_000)
    expect(bench.started).toEqual(['a', 'b'])
    vi.setSystemTime(Date.now() + 7_200_000)
    bench.add('c', 'g', 1_000)
    await vi.advanceTimersByTimeAsync(59_000)
    expect(bench.started).toEqual(['a', 'b'])
  })
})

describe('a job that leaves the line', () => {
  it('never starts, whether it waits behind its guild or behind its person', async () => {
    const bench = new Bench(1000)
    bench.add('first', 'a', 100)
    bench.add('behind', 'a', 100)
    bench.add('next', 'b', 100)
    bench.add('last', 'b', 100)
    await vi.advanceTimersByTimeAsync(50)
    expect([...bench.forecast()].map(([id, { position }]) => [id, position])).toEqual([
      ['next', 1],
      ['behind', 2],
      ['last', 3],
    ])
    expect(['behind', 'next', 'next', 'first'].map((id) => bench.queue.remove(id))).toEqual([true, true, false, false])
    expect([...bench.forecast().keys()]).toEqual(['last'])
    await vi.runAllTimersAsync()
    expect(bench.started).toEqual(['first', 'last'])
  })

  it('lets nothing start after close()', async () => {
    const bench = new Bench(2)
    for (const id of ['a', 'b', 'c']) bench.add(id, 'g', 100)
    bench.add('d', 'h', 100)
    await vi.advanceTimersByTimeAsync(50)
    bench.queue.close()
    await vi.runAllTimersAsync()
    expect(bench.started).toEqual(['a'])
  })
})

describe('the forecast', () => {
  it('says what then happens: order and times, with rate limits, in the middle of everything', async () => {
    const job = fc.record({ guild: fc.nat(4), person: fc.nat(2), ms: fc.integer({ min: 1, max: 20_000 }) })
    const batch = fc.array(job, { maxLength: 15 })
    const property = fc.asyncProperty(
      batch,
      batch,
      fc.nat(100_000),
      fc.integer({ min: 1, max: 4 }),
      async (early, late, gap, perMinute) => {
        const bench = new Bench(perMinute)
        const add = async (name: string, jobs: typeof early) => {
          for (const [index, { guild, person, ms }] of jobs.entries()) {
            bench.add(`${name} ${index}`, `${guild}`, ms, `${person}`)
            await vi.advanceTimersByTimeAsync(1)
          }
        }
        await add('early', early)
        await vi.advanceTimersByTimeAsync(gap)
        await add('late', late)
        const before = bench.started.length
        const now = performance.now()
        const told = [...bench.forecast()]
        await vi.runAllTimersAsync()
        expect(told.map(([id]) => id)).toEqual(bench.started.slice(before))
        expect(told.map(([, { position }]) => position)).toEqual(told.map((_, index) => index + 1))
        for (const [id, { doneIn }] of told) expect(now + doneIn).toBeCloseTo(bench.doneAt.get(id)!)
      },
    )
    await fc.assert(property, { numRuns: 100 })
  })

  it('is quick for a long line', () => {
    const turns = new Turns(30)
    for (let guild = 0; guild < 500; guild++) {
      for (let index = 0; index < 10; index++) {
        turns.add({ id: `${guild}/${index}`, guild: `${guild}`, person: `${index % 3}`, model: 'usual' }, 0)
      }
    }
    const told = forecast({ turns, running: undefined, now: 0, msOf: () => 1, open: ['usual'], msToOpen: () => 0 })
    expect(told.size).toBe(5000)
    expect(told.get('499/9')).toEqual({ position: 5000, doneIn: 5000 })
  })
})

describe('models', () => {
  it('two members with two models do not have one opened for every picture', async () => {
    const bench = new Bench(1000)
    for (let i = 0; i < 10; i++) {
      bench.add(`a${i}`, 'guild', 10, 'anna', 'usual')
      bench.add(`b${i}`, 'guild', 10, 'ben', 'other')
    }
    await vi.runAllTimersAsync()
    expect(bench.started).toHaveLength(20)
    expect(bench.opened).toBeLessThanOrEqual(5)
    expect(bench.started.slice(0, 7)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'b0', 'b1'])
  })

  it('of one guild let another wait no longer than the bound', async () => {
    const bench = new Bench(1000)
    for (let i = 0; i < 40; i++) bench.add(`many ${i}`, 'many', 10, `person ${i}`)
    bench.add('one', 'few', 10, 'somebody', 'other')
    await vi.runAllTimersAsync()
    expect(bench.started.indexOf('one')).toBe(1 + MOST_OVERTAKEN)
  })

  it('no job is overtaken more often than the bound, whatever waits, and the forecast comes true', async () => {
    const job = fc.record({
      guild: fc.constantFrom('x', 'y', 'z'),
      person: fc.constantFrom('p', 'q'),
      model: fc.constantFrom('usual', 'other', 'third'),
      ms: fc.integer({ min: 1, max: 50 }),
    })
    const property = fc.asyncProperty(fc.array(job, { minLength: 1, maxLength: 30 }), async (jobs) => {
      const [bench, plain] = [new Bench(1000), new Bench(1000)]
      for (const [i, { guild, person, model, ms }] of jobs.entries()) {
        bench.add(`${i}`, guild, ms, person, model)
        plain.add(`${i}`, guild, ms, person)
      }
      const told = [...bench.forecast()].filter(([id]) => id !== bench.started[0])
      await vi.runAllTimersAsync()
      for (const [id, { position }] of told) expect(bench.started.indexOf(id)).toBe(position)
      for (const [at, id] of bench.started.entries()) {
        const before = new Set(plain.started.slice(0, plain.started.indexOf(id)))
        const overtook = bench.started.slice(0, at).filter((other) => !before.has(other))
        // Each of those before it may have been overtaken as often by jobs that would have come after it.
        expect(overtook.length).toBeLessThanOrEqual(MOST_OVERTAKEN * (before.size + 1))
      }
    })
    await fc.assert(property, { numRuns: 60 })
  })
})
