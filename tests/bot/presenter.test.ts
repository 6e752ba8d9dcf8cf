import { EventEmitter, once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { PlaceGoneError, type Platform } from '../../src/bot/platform.ts'
import { Presenter } from '../../src/bot/presenter.ts'
import type { View } from '../../src/bot/view.ts'
import type { Job } from '../../src/job/job.ts'
import { newJob, openHouse } from '../queue/jobs.ts'

const HOUR_MS = 3_600_000

/** A chat that takes an hour between two edits of progress. */
class SlowChat extends EventEmitter implements Platform {
  readonly name = 'test'
  readonly editIntervalMs = HOUR_MS
  readonly drawn: string[] = []
  fail: Error | undefined

  async start() {}
  async stop() {}

  async post(job: Job, view: View): Promise<string> {
    this.#draw(job, `post ${view.state}`)
    return 'posted'
  }

  async edit(job: Job, view: View): Promise<void> {
    this.#draw(job, `edit ${view.state}`)
  }

  async remove(job: Job): Promise<void> {
    this.#draw(job, 'remove')
  }

  async drew(line: string): Promise<void> {
    while (!this.drawn.includes(line)) await once(this, 'draw')
  }

  #draw({ request }: Job, what: string): void {
    if (this.fail) {
      this.emit('failed')
      throw this.fail
    }
    this.drawn.push(`${request.prompt}: ${what}`)
    this.emit('draw')
  }
}

async function open() {
  const house = await openHouse()
  const chat = new SlowChat()
  const presenter = new Presenter(house.queue, (line) => house.log.push(line))
  presenter.add(chat)
  /** Asks for a picture as a platform does. */
  const ask = async (prompt: string) => {
    const job = newJob()
    const added = await house.queue.add({ ...job, request: { ...job.request, prompt } })
    await presenter.present(added, (view) => chat.post(added, view))
    return added
  }
  return { ...house, chat, presenter, ask }
}

describe('the presenter', () => {
  it('lets no answer wait behind the progress of others, nor the start of one behind places in line', async () => {
    const { engine, chat, ask } = await open()
    for (const prompt of ['a', 'b', 'c']) await ask(prompt)
    for (const [index, prompt] of ['a', 'b', 'c'].entries()) {
      const call = await engine.call(index + 1)
      call.step(1, 10)
      call.finish()
      await chat.drew(`${prompt}: edit done`)
    }
    // Progress had one turn an hour for what runs, and one in two hours for what waits.
    const progress = chat.drawn.filter((line) => /edit (running|queued)/.test(line))
    expect(progress.filter((line) => line.includes('running'))).toHaveLength(1)
    expect(progress.length).toBeLessThanOrEqual(2)
  })

  it('removes the message of a deleted job, and draws nothing more', async () => {
    const { engine, chat, ask, queue, jobs } = await open()
    const { id } = await ask('a')
    ;(await engine.call(1)).finish()
    await chat.drew('a: edit done')
    await queue.delete(id)
    await chat.drew('a: remove')
    await expect.poll(() => jobs.unanswered()).toEqual([])
  })

  it('gives up a place that is gone, but tries again where the platform failed', async () => {
    const { engine, chat, ask, jobs, log } = await open()
    await ask('a')
    chat.fail = new PlaceGoneError('The message was deleted.')
    ;(await engine.call(1)).finish()
    await expect.poll(() => jobs.unanswered()).toEqual([])

    chat.fail = undefined
    await ask('b')
    chat.fail = new Error('Service Unavailable')
    ;(await engine.call(2)).finish()
    await once(chat, 'failed')
    chat.fail = undefined
    await chat.drew('b: edit done')
    expect(log).toEqual([])
  })
})
