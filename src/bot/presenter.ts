/** Keeps every job's message true: listens to the queue, throttles, and asks the platform to draw the newest view. */

import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isFinished, type Job, type Progress } from '../job/job.ts'
import type { JobQueue } from '../queue/queue.ts'
import { IMPORTANCE, type Importance, Pace } from './pace.ts'
import { type Log, OutOfReachError, PlaceGoneError, type Platform, RefusedError } from './platform.ts'
import { type Drawn, drawnOf, type View, viewOf, withoutPictures, withoutPreview } from './view.ts'

/** About an hour and a half, since the pauses grow to a minute. */
const MAX_ATTEMPTS = 100
const STOP_TIMEOUT_MS = 3000

/** A message being kept true; `stale` means that something changed since the view that is being drawn was made. */
interface Message {
  stale: boolean
  post: ((view: View) => Promise<string>) | undefined
  drawing: Promise<void>
  /** What the message showed last; undefined where that does not count. */
  drawn: Drawn | undefined
  /** What was last heard of the job. */
  heard: Drawn
  /** It cannot be changed until the end, if then. */
  outOfReach: boolean
  /** The platform refuses what previews show. */
  previewsRefused: boolean
  refusal: RefusedError | undefined
  /** Ends its wait for a turn; while it is drawn there is none. */
  waiting: AbortController | undefined
  /** Emits `stale` when it becomes so. */
  readonly events: EventEmitter
  readonly stopping: AbortController
}

interface Drawing {
  readonly platform: Platform
  readonly pace: Pace
}

export class Presenter {
  readonly #queue: JobQueue
  readonly #log: Log
  readonly #drawings = new Map<string, Drawing>()
  readonly #messages = new Map<string, Message>()
  #stopped = false

  constructor(queue: JobQueue, log: Log) {
    this.#queue = queue
    this.#log = log
    queue.on('change', (job, progress) => this.#changed(job, progress))
  }

  add(platform: Platform): void {
    this.#drawings.set(platform.name, { platform, pace: new Pace(platform.editIntervalMs, platform.budget) })
  }

  /**
   * Shows a new job for the first time: `post` draws the view and gives the message's id (an interaction's reply, say). It
   * is kept true from then on; where `post` failed in a way that passes, it is posted as soon as may be.
   * @throws PlaceGoneError, RefusedError: nothing can be shown there, so the job was withdrawn
   */
  async present(job: Job, post: (view: View) => Promise<string>): Promise<void> {
    const newest = (await this.#queue.get(job.id)) ?? job
    const progress = this.#queue.progress(job.id)
    let id: string
    try {
      id = await post(viewOf(newest, progress))
    } catch (error) {
      if (isFinal(error)) {
        await this.#withdraw(job)
        throw error
      }
      const [reason] = (error as Error).message.split('\n')
      this.#log(`${job.place.platform}: the first message of job ${job.id} failed, so it is posted again: ${reason}`)
      this.resume(job)
      return
    }
    const placed = await this.#queue.placed(job.id, id)
    // Drawn again at once only if something was missed: platforms count edits.
    const wasMissed = placed.state !== newest.state || this.#queue.progress(job.id).step !== progress.step
    const stale = isFinished(newest) || wasMissed
    this.#follow(placed, { stale, drawn: drawnOf(newest, progress) })
  }

  /** Takes up again what a restart left unanswered; a job whose message is unknown gets a new one. */
  resume(job: Job): void {
    const platform = this.#drawings.get(job.place.platform)?.platform
    if (!platform) return
    this.#follow(job, { post: job.place.message === undefined ? (view) => platform.post(job, view) : undefined })
  }

  /** Draws a job that is followed once more, before any other progress. */
  refresh(id: string): void {
    const message = this.#messages.get(id)
    if (!message) return
    message.outOfReach = false
    message.drawn = undefined
    this.#becameStale(message)
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

  #changed(job: Job, progress: Progress): void {
    const message = this.#messages.get(job.id)
    if (!message) {
      // A new one without a message is drawn by `present` as it then stands.
      if (job.place.message !== undefined) this.#follow(job)
      return
    }
    const { state } = message.heard
    message.heard = drawnOf(job, progress)
    // Where edits are counted, of a place in line only what `Drawn` tells is worth one.
    const isCounted = this.#drawings.get(job.place.platform)?.platform.budget !== undefined
    const isWorthless = message.outOfReach ? !isFinished(job) : isCounted && isUnseen(message)
    if (isWorthless) return
    this.#becameStale(message)
    if (job.state !== state) message.waiting?.abort()
  }

  #becameStale(message: Message): void {
    message.stale = true
    message.events.emit('stale')
  }

  #follow(job: Job, given: Partial<Pick<Message, 'stale' | 'post' | 'drawn'>> = {}): void {
    if (this.#messages.has(job.id) || this.#stopped) return
    const drawing = this.#drawings.get(job.place.platform)
    if (!drawing) return
    const message: Message = {
      stale: true,
      post: undefined,
      drawn: undefined,
      drawing: Promise.resolve(),
      heard: drawnOf(job, this.#queue.progress(job.id)),
      outOfReach: false,
      previewsRefused: false,
      refusal: undefined,
      waiting: undefined,
      events: new EventEmitter(),
      stopping: new AbortController(),
      ...given,
    }
    this.#messages.set(job.id, message)
    message.drawing = this.#keepTrue(job.id, message, drawing)
  }

  /** Draws whenever the message became stale, with growing pauses while the platform fails. */
  async #keepTrue(id: string, message: Message, drawing: Drawing): Promise<void> {
    let [done, failures] = [false, 0]
    try {
      while (!done || message.stale) {
        if (!message.stale) await once(message.events, 'stale', message.stopping)
        try {
          done = await this.#inTurn(id, message, drawing)
          failures = 0
        } catch (error) {
          if (this.#stopped || ++failures === MAX_ATTEMPTS) throw error
          message.stale = true
          await delay(Math.min(500 * 2 ** failures, 60_000), null, message.stopping)
        }
      }
    } catch (error) {
      this.#reportUnlessStopping(drawing.platform, id, error as Error)
    } finally {
      this.#messages.delete(id)
    }
  }

  /** Progress waits for its turn; an answer does not. True when nothing is left to draw. */
  async #inTurn(id: string, message: Message, { platform, pace }: Drawing): Promise<boolean> {
    for (;;) {
      const waiting = new AbortController()
      message.waiting = waiting
      const job = await this.#queue.get(id)
      const draw = () => {
        message.waiting = undefined
        return this.#drawNewest(id, message, platform)
      }
      const channel = job?.place.channel ?? ''
      if (!job || isFinished(job) || message.post) return pace.outOfTurn(channel, draw)
      try {
        return await pace.inTurn(channel, () => importanceOf(message), waiting.signal, draw)
      } catch (error) {
        // Otherwise its state changed, so it waits on, or no longer.
        if (!waiting.signal.aborted || this.#stopped) throw error
      }
    }
  }

  /** Draws the job as it stands; true when nothing is left to draw. */
  async #drawNewest(id: string, message: Message, platform: Platform): Promise<boolean> {
    message.stale = false
    const job = await this.#queue.get(id)
    const goesOn = job !== undefined && (await this.#draw(job, message, platform))
    if (goesOn) return false
    if (!message.stale) await this.#queue.answered(id)
    return true
  }

  /** True while something is left to show. */
  async #draw(job: Job, message: Message, platform: Platform): Promise<boolean> {
    const isLast = isFinished(job)
    try {
      if (job.deletedAt !== undefined) await platform.remove(job)
      else await this.#show(job, message, platform)
    } catch (error) {
      if (error instanceof OutOfReachError) message.outOfReach = true
      else if (isFinal(error)) return this.#end(job, message, platform, error)
      else throw error
    }
    return !isLast
  }

  async #show(job: Job, message: Message, platform: Platform): Promise<void> {
    const progress = this.#queue.progress(job.id)
    const view = viewOf(job, progress)
    message.drawn = drawnOf(job, progress)
    try {
      await this.#send(job, message, platform, message.previewsRefused ? withoutPreview(view) : view)
    } catch (error) {
      // Filters look at previews too; the rest may stand.
      if (!(error instanceof RefusedError) || !view.preview || message.previewsRefused) throw error
      message.previewsRefused = true
      await this.#send(job, message, platform, withoutPreview(view))
    }
  }

  async #send(job: Job, message: Message, platform: Platform, view: View): Promise<void> {
    if (!message.post) return platform.edit(job, view)
    await this.#queue.placed(job.id, await message.post(view))
    message.post = undefined
  }

  /** Nobody can see the job there: it draws no more, and where a message stands its text says why. */
  async #end(job: Job, message: Message, platform: Platform, error: PlaceGoneError | RefusedError): Promise<boolean> {
    const ended = isFinished(job) ? job : await this.#queue.cancel(job.id)
    message.stale = false
    if (error instanceof PlaceGoneError) return false
    // Once, also when the text has to wait for a platform that fails.
    if (!message.refusal) this.#log(`${platform.name}: job ${job.id} cannot be shown (${error.code}): ${error.message}`)
    message.refusal = error
    if (job.deletedAt !== undefined) return false
    try {
      await this.#send(ended, message, platform, withoutPictures(viewOf(ended, {}), error.message))
    } catch (failure) {
      if (!isFinal(failure) && !(failure instanceof OutOfReachError)) throw failure
    }
    return false
  }

  async #withdraw(job: Job): Promise<void> {
    await this.#queue.delete(job.id)
    await this.#queue.answered(job.id)
  }

  #reportUnlessStopping(platform: Platform, id: string, error: Error): void {
    if (this.#stopped) return
    this.#log(`${platform.name}: job ${id} could not be shown and will be after the next start: ${error.message}`)
  }
}

function isFinal(error: unknown): error is PlaceGoneError | RefusedError {
  return error instanceof PlaceGoneError || error instanceof RefusedError
}

function isUnseen({ drawn, heard }: Message): boolean {
  return heard.state === 'queued' && drawn?.state === 'queued' && drawn.mark === heard.mark
}

function importanceOf({ drawn, heard }: Message): Importance {
  if (drawn?.state !== heard.state) return IMPORTANCE.start
  return drawn.mark === heard.mark ? IMPORTANCE.preview : IMPORTANCE.position
}
