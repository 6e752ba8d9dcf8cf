/** The messages that show jobs: posted, edited and removed with the bot's own token, or with an interaction's where the bot is not. */

import { type APIMessage, type BaseInteraction, type REST, Routes } from 'discord.js'
import type { Job } from '../../job/job.ts'
import type { PictureStore } from '../../store/store.ts'
import { PlaceGoneError } from '../platform.ts'
import type { View } from '../view.ts'
import { attachmentsOf, DEFAULT_LIMIT } from './attachments.ts'
import { isGone, isTooLarge, lacksPermission } from './errors.ts'
import { type Message, messageOf } from './message.ts'

/** How long an interaction's token lives. */
const TOKEN_MS = 15 * 60_000

const MAY_NOT_ATTACH =
  'The pictures are ready, but Seedling lacks the permission “Attach Files” in this channel; with it, /show brings them.'

/** What an interaction leaves behind: a second way to its message, for a while. */
interface Token {
  readonly application: string
  readonly token: string
  /** Bytes that one file may have. */
  readonly attachmentSizeLimit: number
  readonly expiresAt: number
  /** The bot's own token was refused: it is no member of that channel. */
  needed: boolean
}

export class Messages {
  readonly #rest: REST
  readonly #pictures: PictureStore
  /** By job, oldest first. */
  readonly #tokens = new Map<string, Token>()

  constructor(rest: REST, pictures: PictureStore) {
    this.#rest = rest
    this.#pictures = pictures
  }

  /** Keeps the token of the interaction that asked for a job, until it expires. */
  remember(job: string, { applicationId, token, attachmentSizeLimit }: BaseInteraction): void {
    const now = Date.now()
    for (const [id, { expiresAt }] of this.#tokens) {
      if (expiresAt > now) break
      this.#tokens.delete(id)
    }
    const expiresAt = now + TOKEN_MS
    this.#tokens.set(job, { application: applicationId, token, attachmentSizeLimit, expiresAt, needed: false })
  }

  /** The message for a view, with files as large as the interaction allows. */
  async draw(view: View, { attachmentSizeLimit }: Pick<BaseInteraction, 'attachmentSizeLimit'>): Promise<Message> {
    return this.#draw(view, Math.min(attachmentSizeLimit || DEFAULT_LIMIT, DEFAULT_LIMIT))
  }

  /**
   * Shows a job whose message is not known: in the answer that stood already when a crash came, or else in a new message
   * in its channel. @throws PlaceGoneError
   */
  async post(job: Job, view: View): Promise<string> {
    const { id } = (await this.#editReply(job, view)) ?? (await this.#postNew(job, view))
    return id
  }

  async #editReply({ place }: Job, view: View): Promise<APIMessage | undefined> {
    if (!place.reply) return undefined
    const route = place.reply as `/${string}`
    const send = ({ body, files }: Message) => this.#rest.patch(route, { auth: false, body, files: [...files] })
    try {
      return (await this.#asAllowed(view, send)) as APIMessage
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
  }

  async #postNew({ id, place }: Job, view: View): Promise<APIMessage> {
    const route = Routes.channelMessages(place.channel)
    // With the nonce a request that is sent again after a time-out gives the message that stands already.
    const once = { nonce: id, enforce_nonce: true }
    const send = ({ body, files }: Message) => this.#rest.post(route, { body: { ...body, ...once }, files: [...files] })
    return (await this.#orGone(() => this.#asAllowed(view, send))) as APIMessage
  }

  /** @throws PlaceGoneError */
  async edit(job: Job, view: View): Promise<void> {
    await this.#reach(job, (route, auth) =>
      this.#asAllowed(view, ({ body, files }) => this.#rest.patch(route, { body, files: [...files], auth })),
    )
  }

  /** A message that is gone already is no error. */
  async remove(job: Job): Promise<void> {
    await this.#reach(job, (route, auth) => this.#rest.delete(route, { auth })).catch((error) => {
      if (!(error instanceof PlaceGoneError)) throw error
    })
  }

  async #draw(view: View, limit: number): Promise<Message> {
    return messageOf(view, await attachmentsOf(view, this.#pictures, limit))
  }

  /** Sends what the place takes: smaller pictures where they are too large, none where the bot may not attach any. */
  async #asAllowed(view: View, send: (message: Message) => Promise<unknown>): Promise<unknown> {
    const message = await this.draw(view, this.#tokens.get(view.job) ?? { attachmentSizeLimit: DEFAULT_LIMIT })
    try {
      return await send(message)
    } catch (error) {
      if (message.files.length === 0) throw error
      if (isTooLarge(error)) return send(await this.#draw(view, largestOf(message.files) / 2))
      if (lacksPermission(error)) return send(messageOf(view, [], [MAY_NOT_ATTACH]))
      throw error
    }
  }

  /** With the bot's token, which never expires; else with the interaction's while it lives. */
  async #reach(job: Job, ask: (route: `/${string}`, auth: boolean) => Promise<unknown>): Promise<unknown> {
    const token = this.#tokens.get(job.id)
    const alive = token && token.expiresAt > Date.now()
    if (!alive || !token.needed) {
      try {
        return await ask(Routes.channelMessage(job.place.channel, job.place.message!), true)
      } catch (error) {
        if (!isGone(error)) throw error
        if (!alive) throw new PlaceGoneError('Discord has no such message for us.', { cause: error })
        token.needed = true
      }
    }
    const { application, token: secret } = token
    return this.#orGone(() => ask(Routes.webhookMessage(application, secret, job.place.message), false))
  }

  /** @throws PlaceGoneError in place of Discord's own error for a place that is gone */
  async #orGone<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw isGone(error) ? new PlaceGoneError('Discord has no such message for us.', { cause: error }) : error
    }
  }
}

function largestOf(files: Message['files']): number {
  return Math.max(...files.map(({ data }) => data.length))
}
