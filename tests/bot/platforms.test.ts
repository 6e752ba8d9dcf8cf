import { describe, expect, it } from 'vitest'
import type { Platform } from '../../src/bot/platform.ts'
import { startPlatforms } from '../../src/bot/platforms.ts'
import { openHouse } from '../queue/jobs.ts'

class TestPlatform implements Platform {
  readonly name: string
  readonly editIntervalMs = 1
  fail: (error: Error) => void = () => {}
  readonly failed = new Promise<Error>((resolve) => {
    this.fail = resolve
  })
  readonly #start: () => Promise<void>
  stopped = false

  constructor(name: string, start = async () => {}) {
    this.name = name
    this.#start = start
  }

  start = () => this.#start()
  async stop() {
    this.stopped = true
  }
  post = async () => 'posted'
  async edit() {}
  async remove() {}
}

async function open(...platforms: TestPlatform[]) {
  const { program, log } = await openHouse()
  const entries = platforms.map((platform) => ({ name: platform.name, platform }))
  const { signal } = new AbortController()
  return { ...startPlatforms({ entries, program, log: (line) => log.push(line), signal }), log }
}

const refused = async () => {
  throw new Error('It refused TOKEN; copy it again.')
}

describe('a platform that fails', () => {
  it('at the start is down alone, and says so', async () => {
    const { started, log } = await open(new TestPlatform('Good'), new TestPlatform('Bad', refused))
    await started
    expect(log.toSorted()).toEqual(['Bad         down: It refused TOKEN; copy it again.', 'Good        on'])
  })

  it('later is down alone, and says so once', async () => {
    const [good, bad] = [new TestPlatform('Good'), new TestPlatform('Bad')]
    const { started, ended, log } = await open(good, bad)
    await started
    bad.fail(new Error('It was revoked.'))
    await expect.poll(() => log.at(-1)).toBe('Bad         down: It was revoked.')
    expect([good.stopped, bad.stopped]).toEqual([false, true])
    good.fail(new Error('It too.'))
    await expect(ended).rejects.toThrow('It too.')
  })

  it('as the last one ends the program with its reason', async () => {
    const { started } = await open(new TestPlatform('Bad', refused), new TestPlatform('Worse', refused))
    await expect(started).rejects.toThrow('It refused TOKEN; copy it again.')
  })
})
