/** The messages that show jobs: posted, edited and removed with the bot's own token, or with an interaction's where the bot is not. */

import { type APIMessage, type REST, Routes } from 'discord.js'
import { isFinished, type Job } from '../../job/job.ts'
import type { JobQueue } from '../../queue/queue.ts'
import type { PictureStore } from '../../store/store.ts'
import { OutOfReachError, PlaceGoneError } from '../platform.ts'
import type { View } from '../view.ts'
import { attachmentsOf, DEFAULT_LIMIT } from './attachments.ts'
import { isClosed, isGone, isTooLarge, lacksPermission, mustBePostedAnew, tokenEnded, verdictOn } from './errors.ts'
import { type Message, messageOf, withFetchHint } from './message.ts'

/** Before an interaction's token ends, where it is the only way, the message says how to fetch what will come. */
const HINT_MS = 60_000
/** Edits of older messages are capped, so their results are posted anew. */
const OLD_MS = 3_600_000
const REMEMBERED_CHANNELS = 1000

const MAY_NOT_ATTACH =
  'The pictures are ready, but Seedling lacks the permission “Attach Files” in this channel; with it, /show brings them.'

export interface MessagesOptions {
  readonly rest: REST
  readonly pictures: PictureStore
  readonly queue: JobQueue
  /** Asks for a job's message to be drawn again. */
  readonly refresh: (job: string) => void
}

type Route = `/${string}`
type Ask = (route: Route, auth: boolean) => Promise<unknown>

export class Messages {
  readonly #rest: REST
  readonly #pictures: PictureStore
  readonly #queue: JobQueue
  readonly #refresh: (job: string) => void
  /** Channels in which the bot's own token was refused. */
  readonly #closed = new Set<string>()
  /** Jobs whose hint has its time. */
  readonly #hinted = new Set<string>()

  constructor({ rest, pictures, queue, refresh }: MessagesOptions) {
    this.#rest = rest
    this.#pictures = pictures
    this.#queue = queue
    this.#refresh = refresh
  }

  /** The message for a view, with files of at most `limit` bytes. */
  async draw(view: View, limit = DEFAULT_LIMIT): Promise<Message> {
    return messageOf(view, await attachmentsOf(view, this.#pictures, Math.min(limit || DEFAULT_LIMIT, DEFAULT_LIMIT)))
  }

  /** In good time before the interaction's token ends, the message is drawn with a hint; after that it is forgotten. */
  hintInTime({ id, place: { reply } }: Job): void {
    if (!reply || this.#hinted.has(id)) return
    this.#hinted.add(id)
    const at = (time: number, act: () => void) => setTimeout(act, Math.max(0, time - Date.now())).unref()
    at(reply.until - HINT_MS, () => this.#refresh(id))
    at(reply.until + HINT_MS, () => {
      this.#hinted.delete(id)
      // What cannot be written now is forgotten with the answer.
      this.#queue.forgetReply(id, reply).catch(() => {})
    })
  }

  /**
   * Shows a job whose message is not known: in the answer that stood already when a crash came, or else in a new message
   * in its channel. @throws PlaceGoneError, OutOfReachError, RefusedError
   */
  async post(job: Job, view: View): Promise<string> {
    return this.#judged(async () => {
      const { id } = (await this.#editReply(job, view)) ?? (await this.#postNew(job, view, job.id))
      return id
    })
  }

  /** @throws PlaceGoneError, OutOfReachError, RefusedError */
  async edit(job: Job, view: View): Promise<void> {
    this.hintInTime(job)
    await this.#judged(async () => {
      const isOld = Date.now() - job.createdAt > OLD_MS
      if (isOld && !this.#needsReply(job)) return isFinished(job) ? this.#postAnew(job, view) : undefined
      try {
        await this.#reach(job, (route, auth) =>
          this.#send(job, view, (body) => this.#rest.patch(route, { ...body, auth })),
        )
      } catch (error) {
        if (!mustBePostedAnew(error)) throw error
        // Progress is not worth a message of its own.
        if (isFinished(job)) await this.#postAnew(job, view)
      }
    })
  }

  /** A message that is gone already is no error, nor one that its author removed by a click where the bot may not. */
  async remove(job: Job): Promise<void> {
    try {
      await this.#judged(() => this.#reach(job, (route, auth) => this.#rest.delete(route, { auth })))
    } catch (error) {
      if (!(error instanceof PlaceGoneError || error instanceof OutOfReachError)) throw error
    }
  }

  async #editReply(job: Job, view: View): Promise<APIMessage | undefined> {
    const route = job.place.reply?.route
    if (!route) return undefined
    try {
      const edited = await this.#send(job, view, (body) => this.#rest.patch(route as Route, { ...body, auth: false }))
      return edited as APIMessage
    } catch (error) {
      if (isGone(error) || tokenEnded(error)) return undefined
      throw error
    }
  }

  /** With the nonce a request that is sent again, after a time-out or a crash, gives the message that stands already. */
  async #postNew(job: Job, view: View, nonce: string): Promise<APIMessage> {
    const { channel } = job.place
    const posted = await this.#send(job, view, async ({ body, files }) => {
      const once = { ...body, nonce, enforce_nonce: true }
      const standing = (await this.#rest.post(Routes.channelMessages(channel), { body: once, files })) as APIMessage
      if (standing.content === body.content) return standing
      return this.#rest.patch(Routes.channelMessage(channel, standing.id), { body, files })
    })
    return posted as APIMessage
  }

  /** Where edits do not help any more. The old message would go on saying what is no longer so. */
  async #postAnew(job: Job, view: View): Promise<void> {
    const { id } = await this.#postNew(job, view, `${job.id}:anew`)
    await this.#queue.placed(job.id, id)
    const { channel, message } = job.place
    await this.#rest.delete(Routes.channelMessage(channel, message!)).catch(() => {})
  }

  /** Sends what the place takes: smaller pictures where they are too large, none where the bot may not attach any. */
  async #send(job: Job, view: View, send: (sent: Sent) => Promise<unknown>): Promise<unknown> {
    const hinted = (message: Message) => sentOf(this.#isHintDue(job) ? withFetchHint(message, job.id) : message)
    const message = await this.draw(view)
    try {
      return await send(hinted(message))
    } catch (error) {
      if (message.files.length === 0) throw error
      if (isTooLarge(error)) return send(hinted(await this.draw(view, largestOf(message.files) / 2)))
      if (lacksPermission(error)) return send(hinted(messageOf(view, [], [MAY_NOT_ATTACH])))
      throw error
    }
  }

  #isHintDue(job: Job): boolean {
    if (!job.place.reply || isFinished(job) || !this.#needsReply(job)) return false
    return job.place.reply.until - Date.now() <= HINT_MS
  }

  #needsReply({ place }: Job): boolean {
    return place.botIsAbsent === true || this.#closed.has(place.channel)
  }

  /** With the bot's token, which never ends; with the interaction's where that is refused, while it lives. */
  async #reach(job: Job, ask: Ask): Promise<unknown> {
    const { channel, message, reply } = job.place
    if (this.#needsReply(job)) {
      if (!reply) throw new OutOfReachError('No interaction leads to this message any more.')
      return ask(reply.route as Route, false)
    }
    try {
      return await ask(Routes.channelMessage(channel, message!), true)
    } catch (error) {
      if (!reply || !isClosed(error)) throw error
      const reached = await ask(reply.route as Route, false).catch((second) => {
        throw tokenEnded(second) ? error : second
      })
      this.#remember(channel)
      return reached
    }
  }

  #remember(channel: string): void {
    this.#closed.add(channel)
    if (this.#closed.size > REMEMBERED_CHANNELS) this.#closed.delete(this.#closed.values().next().value!)
  }

  async #judged<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw verdictOn(error)
    }
  }
}

/** As the REST client wants it. */
interface Sent {
  readonly body: Message['body']
  readonly files: Message['files'][number][]
}

function sentOf({ body, files }: Message): Sent {
  return { body, files: [...files] }
}

function largestOf(files: Message['files']): number {
  return Math.max(...files.map(({ data }) => data.length))
}
