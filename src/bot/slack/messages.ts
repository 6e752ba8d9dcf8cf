/** The messages that show jobs in Slack: posted once, edited, posted anew where edits are over, found again after a crash. */

import { setTimeout as delay } from 'node:timers/promises'
import { webApi } from '@slack/bolt'
import { parseActionId } from '../../commands/actions.ts'
import type { MessageLink } from '../../commands/words.ts'
import { isFinished, type Job } from '../../job/job.ts'
import type { Budget } from '../budget.ts'
import type { Failure } from '../failure.ts'
import type { Rooms } from '../rooms.ts'
import type { View } from '../view.ts'
import { messageOf } from './blocks.ts'
import type { Clients } from './client.ts'
import { codeOf, isGone, mustBePostedAnew, tokenEnded, verdictOn, verdictOnPost } from './errors.ts'
import { deleteFiles, uploadPictures, waitForImages } from './files.ts'
import type { Identity } from './identity.ts'
import { formatMessage, parseMessage } from './place.ts'

/** Nothing is read by name or ping: `text` is escaped already, and these keep Slack from looking for more in it. */
const AS_TYPED = { parse: 'none', link_names: false } as const
const EVENT_TYPE = 'seedling_job'
/** Our clock and Slack's need not agree. */
const CLOCK_SECONDS = 600
const PAGE = 200
const MAX_PAGES = 3
/** A job is rather shown twice than never. */
const MAX_LOOKS = 3
/** How often a message with pictures is tried that Slack refuses, since it may not have looked at them yet. */
const MAX_SHOWINGS = 5

export interface MessagesOptions {
  readonly rooms: Rooms
  readonly clients: Clients
  readonly budget: Budget
  readonly identity: () => Identity
  /** Told when the bot's token has ended. */
  readonly failure: Failure
}

type HistoryMessage = NonNullable<webApi.ConversationsHistoryResponse['messages']>[number]

export class Messages {
  readonly #rooms: Rooms
  readonly #clients: Clients
  readonly #budget: Budget
  readonly #identity: () => Identity
  readonly #failure: Failure
  /** By job: how often looking back failed. */
  readonly #failedLooks = new Map<string, number>()

  constructor({ rooms, clients, budget, identity, failure }: MessagesOptions) {
    this.#rooms = rooms
    this.#clients = clients
    this.#budget = budget
    this.#identity = identity
    this.#failure = failure
  }

  /** A job's first message, in a channel that has none of it yet. @throws RefusedError */
  async first(job: Job, view: View): Promise<string> {
    return this.#judged(
      () => this.#postNew(job, view),
      (error) => verdictOnPost(error, this.#identity().name, job.id),
    )
  }

  /** The same after a lost answer or a crash: the message may stand already. @throws PlaceGoneError, RefusedError */
  async post(job: Job, view: View): Promise<string> {
    const standing = await this.#orphanOf(job)
    if (standing === undefined) return this.first(job, view)
    const message = formatMessage({ ts: standing, files: [] })
    const placed = await this.#rooms.queue.placed(job.id, message)
    await this.edit(placed, view)
    return (await this.#rooms.queue.get(job.id))?.place.message ?? message
  }

  /** @throws PlaceGoneError, RefusedError */
  async edit(job: Job, view: View): Promise<void> {
    await this.#judged(
      async () => {
        try {
          await this.#redraw(job, view)
        } catch (error) {
          if (!mustBePostedAnew(error)) throw error
          // Progress is not worth a message of its own.
          if (isFinished(job)) await this.#postAnew(job, view)
        }
      },
      (error) => verdictOn(error, job.id),
    )
  }

  /** The files go too; what is gone already is no error. */
  async remove({ place }: Job): Promise<void> {
    if (place.message === undefined) return
    const { ts, files } = parseMessage(place.message)
    await this.#judged(async () => {
      // The one goes also where the other is refused.
      const both = [deleteFiles(this.#clients.web, files), this.#delete(place.channel, ts)]
      for (const result of await Promise.allSettled(both)) if (result.status === 'rejected') throw result.reason
    }, verdictOn)
  }

  /** The job that a message shows; undefined where it shows none, or cannot be read. */
  async jobAt({ channel, message }: MessageLink): Promise<string | undefined> {
    const range = { oldest: message, latest: message, inclusive: true, limit: 1 }
    const read = this.#clients.history.conversations.history({ channel, ...range, include_all_metadata: true })
    const { messages = [] } = await read.catch(() => ({ messages: [] }))
    return messages.map((found) => this.#jobIn(found)).find((job) => job !== undefined)
  }

  async #postNew(job: Job, view: View): Promise<string> {
    const files = await uploadPictures(this.#clients.web, this.#rooms.pictures, view)
    await waitForImages(this.#clients.web, files)
    const { channel } = job.place
    const message = { channel, ...this.#contentOf(job, view, files), unfurl_links: false, unfurl_media: false }
    const { ts } = await this.#showing(files, () => this.#clients.posts.chat.postMessage({ ...message, mrkdwn: false }))
    return formatMessage({ ts: ts!, files })
  }

  /** The old message would go on saying what is no longer so. */
  async #postAnew(job: Job, view: View): Promise<void> {
    const { ts } = parseMessage(job.place.message!)
    await this.#rooms.queue.placed(job.id, await this.#postNew(job, view))
    await this.#delete(job.place.channel, ts).catch(() => {})
  }

  async #redraw(job: Job, view: View): Promise<void> {
    const { ts, files } = await this.#withPictures(job, view)
    const message = { channel: job.place.channel, ts, ...this.#contentOf(job, view, files) }
    if (isFinished(job)) await this.#showing(files, () => this.#clients.edits.chat.update(message))
    else await this.#showProgress(message)
  }

  #contentOf(job: Job, view: View, files: readonly string[]) {
    const metadata = { event_type: EVENT_TYPE, event_payload: { job: job.id } }
    return { ...messageOf(view, files), ...AS_TYPED, metadata }
  }

  async #showing<T>(files: readonly string[], show: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await show()
      } catch (error) {
        if (files.length === 0 || codeOf(error) !== 'invalid_blocks' || attempt === MAX_SHOWINGS) throw error
        await delay(250 * 2 ** attempt)
        await waitForImages(this.#clients.web, files)
      }
    }
  }

  /** Past Slack's limit progress is let go for a while, so that it never stands in an answer's way. */
  async #showProgress(message: webApi.ChatUpdateArguments): Promise<void> {
    try {
      await this.#clients.progress.chat.update(message)
    } catch (error) {
      if (!(error instanceof webApi.WebAPIRateLimitedError)) throw error
      this.#budget.hold(1000 * error.retryAfter)
    }
  }

  /** The message with its files; they are recorded before they are shown, so that a restart finds them and a deletion too. */
  async #withPictures(job: Job, view: View): Promise<{ ts: string; files: readonly string[] }> {
    const { web } = this.#clients
    const { ts, files } = parseMessage(job.place.message!)
    if (view.pictures.length === 0) return { ts, files: [] }
    const shown = files.length > 0 ? files : await uploadPictures(web, this.#rooms.pictures, view)
    if (shown !== files) await this.#rooms.queue.placed(job.id, formatMessage({ ts, files: shown }))
    // Also those that a crash left between the upload and the message.
    await waitForImages(web, shown)
    return { ts, files: shown }
  }

  async #delete(channel: string, ts: string): Promise<void> {
    await this.#clients.web.chat.delete({ channel, ts }).catch((error) => {
      if (!isGone(error)) throw error
    })
  }

  /** The message that was posted without our hearing of it. Where Slack does not let us look, there is none. */
  async #orphanOf(job: Job): Promise<string | undefined> {
    try {
      const found = await this.#lookBack(job)
      this.#failedLooks.delete(job.id)
      return found
    } catch (error) {
      const failures = (this.#failedLooks.get(job.id) ?? 0) + 1
      this.#failedLooks.set(job.id, failures)
      const isFinal = codeOf(error) !== undefined && verdictOn(error) !== error
      const mayPass = error instanceof webApi.WebAPIRateLimitedError || failures < MAX_LOOKS
      if (!isFinal && mayPass) throw error
      this.#failedLooks.delete(job.id)
      this.#rooms.log(`slack: cannot look whether job ${job.id} was posted already: ${(error as Error).message}`)
      return undefined
    }
  }

  async #lookBack(job: Job): Promise<string | undefined> {
    const oldest = String(Math.max(0, Math.floor(job.createdAt / 1000) - CLOCK_SECONDS))
    const range = { channel: job.place.channel, oldest, limit: PAGE, include_all_metadata: true }
    let cursor: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const read = await this.#clients.history.conversations.history({ ...range, ...(cursor && { cursor }) })
      const found = read.messages?.find((message) => this.#jobIn(message) === job.id)
      cursor = read.response_metadata?.next_cursor
      if (found || !cursor) return found?.ts
    }
    return undefined
  }

  /** By its metadata, or else by its buttons; of our own messages alone. */
  #jobIn({ bot_id, user, metadata, blocks = [] }: HistoryMessage): string | undefined {
    const { botId, botUserId } = this.#identity()
    if (bot_id !== botId && user !== botUserId) return undefined
    const payload = metadata?.event_payload as { job?: unknown } | undefined
    if (metadata?.event_type === EVENT_TYPE && typeof payload?.job === 'string') return payload.job
    const elements = blocks.flatMap((block) => (block.elements ?? []) as readonly { action_id?: string }[])
    return elements.map(({ action_id = '' }) => parseActionId(action_id)?.job).find((id) => id !== undefined)
  }

  async #judged<T>(act: () => Promise<T>, verdict: (error: unknown) => unknown): Promise<T> {
    try {
      return await act()
    } catch (error) {
      const ended = tokenEnded(error)
      if (ended) this.#failure.tell(ended)
      throw verdict(error)
    }
  }
}
