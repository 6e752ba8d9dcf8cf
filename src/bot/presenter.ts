/** Keeps every job's message true: listens to the queue, throttles, and asks the platform to draw the newest view. */

import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isFinished, type Job, type JobState } from '../job/job.ts'
import type { JobQueue } from '../queue/queue.ts'
import { Pace } from './pace.ts'
import { type Log, PlaceGoneError, type Platform } from './platform.ts'
import { type View, viewOf } from './view.ts'

/** About an hour and a half, since the pauses grow to a minute. */
const MAX_ATTEMPTS = 100
const STOP_TIMEOUT_MS = 3000

/** A message being kept true; `stale` means that something changed since the view that is being drawn was made. */
interface Message {
  stale: boolean
  post: ((view: View) => Promise<string>) | undefined
  drawing: Promise<void>
  /** The job's state as last heard of. */
  state: JobState
  /** Ends its wait for a turn; while it is drawn there is none. */
  waiting: AbortController | undefined
  /** Emits `stale` when it becomes so. */
  readonly events: EventEmitter
  readonly stopping: AbortController
}

export class Presenter {
  readonly #queue: JobQueue
  readonly #log: Log
  readonly #platforms = new Map<string, Platform>()
  readonly #messages = new Map<string, Message>()
  readonly #pace = new Pace()
  #stopped = false

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

  /** Ends after the draws under way, unless they hang; what was not drawn is drawn after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    const messages = [...this.#messages.values()]
    for (const { stopping, waiting } of messages) {
      stopping.abort()
      waiting?.abort()
    }
    const drawn = Promise.all(messages.map(({ drawing }) => drawing))
    await Promise.race([drawn, delay(STOP_TIMEOUT_MS, null, { ref: false })])
  }

  #changed(job: Job): void {
    const message = this.#messages.get(job.id)
    if (message) {
      message.stale = true
      message.events.emit('stale')
      if (job.state !== message.state) message.waiting?.abort()
      message.state = job.state
    } else if (job.place.message !== undefined) this.#follow(job)
    // Otherwise it is new, and `present` will draw it as it then stands.
  }

  #follow(job: Job, { stale = true, post }: Partial<Pick<Message, 'stale' | 'post'>> = {}): void {
    if (this.#messages.has(job.id) || this.#stopped) return
    const platform = this.#platforms.get(job.place.platform)
    if (!platform) return
    const message: Message = {
      stale,
      post,
      drawing: Promise.resolve(),
      state: job.state,
      waiting: undefined,
      events: new EventEmitter(),
      stopping: new AbortController(),
    }
    this.#messages.set(job.id, message)
    message.drawing = this.#keepTrue(job.id, message, platform)
  }

  /** Draws whenever the message became stale, with growing pauses while the platform fails. */
  async #keepTrue(id: string, message: Message, platform: Platform): Promise<void> {
    let [done, failures] = [false, 0]
    try {
      while (!done || message.stale) {
        if (!message.stale) await once(message.events, 'stale', message.stopping)
        try {
          done = await this.#inTurn(id, message, platform)
          failures = 0
        } catch (error) {
          if (this.#stopped || ++failures === MAX_ATTEMPTS) throw error
          message.stale = true
          await delay(Math.min(500 * 2 ** failures, 60_000), null, message.stopping)
        }
      }
    } catch (error) {
      this.#reportUnlessStopping(platform, id, error as Error)
    } finally {
      this.#messages.delete(id)
    }
  }

  /** Progress waits for a turn in its channel; an answer does not. True when nothing is left to draw. */
  async #inTurn(id: string, message: Message, platform: Platform): Promise<boolean> {
    for (;;) {
      const waiting = new AbortController()
      message.waiting = waiting
      const job = await this.#queue.get(id)
      if (!job || isFinished(job)) return this.#drawNewest(id, message, platform)
      const draw = () => {
        message.waiting = undefined
        return this.#drawNewest(id, message, platform)
      }
      try {
        return await this.#pace.inTurn(job, platform.editIntervalMs, waiting.signal, draw)
      } catch (error) {
        // Otherwise its state changed, so it goes to another line, or to none.
        if (!waiting.signal.aborted || this.#stopped) throw error
      }
    }
  }

  /** Draws the job as it stands; true when nothing is left to draw. */
  async #drawNewest(id: string, message: Message, platform: Platform): Promise<boolean> {
    message.stale = false
    const job = await this.#queue.get(id)
    const shown = job !== undefined && (await this.#draw(job, message, platform))
    if (shown && !isFinished(job)) return false
    if (!message.stale) await this.#queue.answered(id)
    return true
  }

  /** False when the place is gone. */
  async #draw(job: Job, message: Message, platform: Platform): Promise<boolean> {
    try {
      if (job.deletedAt !== undefined) await platform.remove(job)
      else if (message.post) await this.#post(job, message, message.post)
      else await platform.edit(job, viewOf(job, this.#queue.progress(job.id)))
      return true
    } catch (error) {
      if (error instanceof PlaceGoneError) return false
      throw error
    }
  }

  async #post(job: Job, message: Message, post: (view: View) => Promise<string>): Promise<void> {
    await this.#queue.placed(job.id, await post(viewOf(job, this.#queue.progress(job.id))))
    message.post = undefined
  }

  #reportUnlessStopping(platform: Platform, id: string, error: Error): void {
    if (this.#stopped) return
    this.#log(`${platform.name}: job ${id} could not be shown and will be after the next start: ${error.message}`)
  }
}
