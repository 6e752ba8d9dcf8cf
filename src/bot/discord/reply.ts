/** The answer to one interaction, always within Discord's three seconds. https://discord.com/developers/docs/interactions/receiving-and-responding */

import {
  type APIInteraction,
  type APIInteractionResponse,
  InteractionResponseType,
  type REST,
  type RESTPatchAPIInteractionOriginalResponseResult,
  type RESTPostAPIInteractionCallbackWithResponseResult,
  Routes,
} from 'discord.js'
import { isGone, wasAnswered } from './errors.ts'
import { type Message, sentenceMessage } from './message.ts'

/** After this long without an answer Discord is told to wait: of its three seconds some are spent on the way. */
const DEFER_AFTER_MS = 1800

/** What Discord shows while it waits: a message that is coming, or nothing (a button that changes what stands above it). */
type Deferral = InteractionResponseType.DeferredChannelMessageWithSource | InteractionResponseType.DeferredMessageUpdate

export class Reply {
  readonly #rest: REST
  readonly #interaction: APIInteraction
  #deferral: Deferral
  readonly #timer: NodeJS.Timeout
  #deferred: Promise<unknown> | undefined

  constructor(rest: REST, interaction: APIInteraction, deferral: Deferral) {
    this.#rest = rest
    this.#interaction = interaction
    this.#deferral = deferral
    this.#timer = setTimeout(() => this.#defer(), DEFER_AFTER_MS)
  }

  /** Answers with a message that everybody sees, and gives its id. */
  async show({ body, files }: Message): Promise<string> {
    clearTimeout(this.#timer)
    // An upload may take longer than three seconds.
    if (files.length > 0) this.#defer()
    if (!this.#deferred) return this.#respondWith(body)
    await this.#deferred
    const edited = await this.#rest.patch(this.#original(), { auth: false, body, files: [...files] })
    return (edited as RESTPatchAPIInteractionOriginalResponseResult).id
  }

  /** Draws the message whose button was clicked. */
  async update({ body, files }: Message): Promise<void> {
    await this.#changeClicked()
    await this.#rest.patch(this.#original(), { auth: false, body, files: [...files] })
  }

  /** Removes the message whose button was clicked. */
  async removeClicked(): Promise<void> {
    await this.#changeClicked()
    await this.remove()
  }

  /**
   * Answers with a sentence that only this person sees.
   * @param line what they typed, given back to be mended
   */
  async tell(sentence: string, line?: string): Promise<void> {
    clearTimeout(this.#timer)
    const body = sentenceMessage(sentence, line)
    if (!this.#deferred) {
      await this.#callback({ type: InteractionResponseType.ChannelMessageWithSource, data: body })
      return
    }
    await this.#deferred
    // Whether a message is ephemeral is settled when it is announced, so the announced one goes first.
    if (this.#deferral === InteractionResponseType.DeferredChannelMessageWithSource) await this.remove()
    const { application_id, token } = this.#interaction
    await this.#rest.post(Routes.webhook(application_id, token), { auth: false, body })
  }

  /** Answers a button without a message: what it changed is shown where the button stands. */
  async done(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#defer()
  }

  /** Removes the message that answers the interaction, or the one whose button was clicked after `done`, unless it is gone. */
  async remove(): Promise<void> {
    await this.#rest.delete(this.#original(), { auth: false }).catch((error) => {
      if (!isGone(error)) throw error
    })
  }

  /** Of an answer that was announced already, that one is changed instead. */
  async #changeClicked(): Promise<void> {
    clearTimeout(this.#timer)
    if (!this.#deferred) this.#deferral = InteractionResponseType.DeferredMessageUpdate
    await this.#defer()
  }

  #defer(): Promise<unknown> {
    this.#deferred ??= this.#callback({ type: this.#deferral })
    // Whoever answers next awaits it and learns of a failure; on its own it must not end the program.
    this.#deferred.catch(() => {})
    return this.#deferred
  }

  async #respondWith(data: Message['body']): Promise<string> {
    const type = InteractionResponseType.ChannelMessageWithSource
    const answer = await this.#callback({ type, data } as APIInteractionResponse).catch((error) => {
      // Sent twice, since the first answer to it was lost on the way.
      if (!wasAnswered(error)) throw error
    })
    const { resource } = (answer ?? {}) as Partial<RESTPostAPIInteractionCallbackWithResponseResult>
    const message = resource?.message ?? (await this.#rest.get(this.#original(), { auth: false }))
    return (message as { id: string }).id
  }

  #callback(body: APIInteractionResponse): Promise<unknown> {
    const { id, token } = this.#interaction
    const query = new URLSearchParams({ with_response: 'true' })
    return this.#rest.post(Routes.interactionCallback(id, token), { auth: false, body, query })
  }

  #original() {
    return Routes.webhookMessage(this.#interaction.application_id, this.#interaction.token)
  }
}
