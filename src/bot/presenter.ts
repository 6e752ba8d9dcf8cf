/** Keeps every job's message true: listens to the queue, throttles, and asks the platform to draw the newest view. */

import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isFinished, type Job } from '../job/job.ts'
import type { JobQueue } from '../queue/queue.ts'
import { type Log, PlaceGoneError, type Platform } from './platform.ts'
import { type View, viewOf } from './view.ts'

const MAX_ATTEMPTS = 8

/** A message being kept true; `stale` means that something changed since the view that is being drawn was made. */
interface Message {
  stale: boolean
  post: ((view: View) => Promise<string>) | undefined
  drawing: Promise<void>
}

export class Presenter {
  readonly #queue: JobQueue
  readonly #log: Log
  readonly #platforms = new Map<string, Platform>()
  readonly #messages = new Map<string, Message>()
  /** Emits a job's id when its message became stale. */
  readonly #stale = new EventEmitter()
  /** Emits a job's id when nothing more will happen to it. */
  readonly #finished = new EventEmitter()
  readonly #stopping = new AbortController()

  constructor(queue: JobQueue, log: Log) {
    this.#queue = queue
    this.#log = log
    queue.on('change', (job) => this.#changed(job))
  }

  add(platform: Platform): void {
    this.#platforms.set(platform.name, platform)
  }

  /**
   * Shows a new job for the first time: `post` draws the view and gives the message's id (an interaction's reply, say).
   * Resolves when that message stands; it is kept true from then on.
   */
  async present(job: Job, post: (view: View) => Promise<string>): Promise<void> {
    const newest = (await this.#queue.get(job.id)) ?? job
    const id = await post(viewOf(newest, this.#queue.progress(job.id)))
    const placed = await this.#queue.placed(job.id, id)
    // Drawn again at once only if something was missed: platforms count edits.
    this.#follow(placed, { stale: isFinished(newest) || placed.state !== newest.state })
  }

  /** Takes up again what a restart left unanswered; a job whose message is unknown gets a new one. */
  resume(job: Job): void {
    const platform = this.#platforms.get(job.place.platform)
    if (!platform) return
    this.#follow(job, { post: job.place.message === undefined ? (view) => platform.post(job, view) : undefined })
  }

  /** Ends after the draws under way; what was not drawn is drawn after the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all([...this.#messages.values()].map(({ drawing }) => drawing))
  }

  #changed(job: Job): void {
    const message = this.#messages.get(job.id)
    if (message) {
      message.stale = true
      this.#stale.emit(job.id)
      if (isFinished(job)) this.#finished.emit(job.id)
    } else if (job.place.message !== undefined) this.#follow(job)
    // Otherwise it is new, and `present` will draw it as it then stands.
  }

  #follow(job: Job, { stale = true, post }: Partial<Pick<Message, 'stale' | 'post'>> = {}): void {
    if (this.#messages.has(job.id) || this.#stopping.signal.aborted) return
    const platform = this.#platforms.get(job.place.platform)
    if (!platform) return
    const message: Message = { stale, post, drawing: Promise.resolve() }
    this.#messages.set(job.id, message)
    message.drawing = this.#keepTrue(job.id, message, platform)
  }

  async #keepTrue(id: string, message: Message, platform: Platform): Promise<void> {
    try {
      do {
        if (!message.stale) await once(this.#stale, id, { signal: this.#stopping.signal })
        await this.#interval(id, platform)
      } while (!(await this.#drawnForGood(id, message, platform)))
    } catch (error) {
      this.#reportUnlessStopping(platform, id, error as Error)
    } finally {
      this.#messages.delete(id)
    }
  }

  /** A last view need not wait: progress is throttled, the answer is not. */
  async #interval(id: string, { editIntervalMs }: Platform): Promise<void> {
    const newest = await this.#queue.get(id)
    if (!newest || isFinished(newest)) return
    const waiting = new AbortController()
    const signal = AbortSignal.any([waiting.signal, this.#stopping.signal])
    await Promise.race([delay(editIntervalMs, undefined, { signal }), once(this.#finished, id, { signal })]).finally(
      () => waiting.abort(),
    )
  }

  /** Draws the newest view; true when nothing is left to draw. */
  async #drawnForGood(id: string, message: Message, platform: Platform): Promise<boolean> {
    message.stale = false
    const job = await this.#drawNewest(id, message, platform)
    if (job && !isFinished(job)) return false
    if (!message.stale) await this.#queue.answered(id)
    return !message.stale
  }

  /** Draws the job as it stands, again and again with growing pauses while the platform fails. */
  async #drawNewest(id: string, message: Message, platform: Platform): Promise<Job | undefined> {
    for (let attempt = 1; ; attempt++) {
      const job = await this.#queue.get(id)
      if (!job) return undefined
      try {
        await this.#draw(job, message, platform)
        return job
      } catch (error) {
        if (error instanceof PlaceGoneError) return undefined
        if (attempt === MAX_ATTEMPTS) throw error
        await delay(Math.min(1000 * 2 ** attempt, 60_000), undefined, { signal: this.#stopping.signal })
      }
    }
  }

  async #draw(job: Job, message: Message, platform: Platform): Promise<void> {
    if (job.deletedAt !== undefined) return platform.remove(job)
    const view = viewOf(job, this.#queue.progress(job.id))
    if (!message.post) return platform.edit(job, view)
    await this.#queue.placed(job.id, await message.post(view))
    message.post = undefined
  }

  #reportUnlessStopping(platform: Platform, id: string, error: Error): void {
    if (this.#stopping.signal.aborted) return
    this.#log(`${platform.name}: job ${id} could not be shown and will be after the next start: ${error.message}`)
  }
}
