/** Discord as a platform: connects, registers the commands, and draws jobs in messages. */

import { setTimeout as delay } from 'node:timers/promises'
import { DiscordAPIError, OAuth2Scopes, PermissionFlagsBits, PermissionsBitField, type REST, Routes } from 'discord.js'
import type { Job } from '../../job/job.ts'
import { Budget } from '../budget.ts'
import { Failure } from '../failure.ts'
import type { Platform } from '../platform.ts'
import type { Rooms } from '../rooms.ts'
import type { View } from '../view.ts'
import { WRONG_TOKEN } from './errors.ts'
import { Gateway, type SignedIn } from './gateway.ts'
import { Interactions } from './interactions.ts'
import { Messages } from './messages.ts'
import { commandsOf } from './registration.ts'
import { createRest } from './rest.ts'

export interface DiscordSettings {
  /** The bot's token. */
  readonly token: string
  /** Discord's REST address, such as `https://discord.com/api`; it names the gateway. */
  readonly apiUrl: string
}

/** The least that posting, editing and attaching need. */
const PERMISSIONS = [
  PermissionFlagsBits.ViewChannel,
  PermissionFlagsBits.SendMessages,
  PermissionFlagsBits.SendMessagesInThreads,
  PermissionFlagsBits.AttachFiles,
]
const MAX_PAUSE_MS = 60_000
const STOP_TIMEOUT_MS = 3000

export function createDiscord(settings: DiscordSettings, rooms: Rooms): Platform {
  return new Discord(settings, rooms)
}

class Discord implements Platform {
  readonly name = 'discord'
  /** A channel's messages may be edited about once a second; a part of that is kept for answers. */
  readonly editIntervalMs = 2000
  /** A bot may ask 50 times a second in all. */
  readonly budget = new Budget(10, 1000)
  readonly #failure = new Failure()
  readonly failed = this.#failure.told
  readonly #rooms: Rooms
  readonly #rest: REST
  readonly #gateway: Gateway
  readonly #messages: Messages
  readonly #interactions: Interactions
  readonly #stopping = new AbortController()

  constructor({ token, apiUrl }: DiscordSettings, rooms: Rooms) {
    const { log, pictures, queue, presenter } = rooms
    const failure = this.#failure
    this.#rooms = rooms
    this.#rest = createRest({ token, apiUrl, budget: this.budget, failure })
    this.#messages = new Messages({ rest: this.#rest, pictures, queue, refresh: (job) => presenter.refresh(job) })
    this.#interactions = new Interactions(this.#rest, this.#messages, rooms)
    const onInteraction: Interactions['handle'] = (interaction) => {
      if (!this.#stopping.signal.aborted) this.#interactions.handle(interaction)
    }
    this.#gateway = new Gateway({ token, rest: this.#rest, log, failure, onInteraction })
  }

  async start(): Promise<void> {
    try {
      await this.#register(await this.#connect())
    } catch (error) {
      throw this.#stopping.signal.aborted ? this.#stopping.signal.reason : error
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('Discord: stopped before it was reached.'))
    await Promise.race([this.#interactions.settled(), delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
    await this.#gateway.stop()
  }

  post(job: Job, view: View): Promise<string> {
    return this.#messages.post(job, view)
  }

  edit(job: Job, view: View): Promise<void> {
    return this.#messages.edit(job, view)
  }

  remove(job: Job): Promise<void> {
    return this.#messages.remove(job)
  }

  async #connect(): Promise<SignedIn> {
    const { signal } = this.#stopping
    const stopped = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    stopped.catch(() => {})
    const { shards, remaining, resetAfterMs } = await this.#patiently(() => this.#gateway.ask())
    if (remaining < shards) {
      const minutes = Math.ceil(resetAfterMs / 60_000)
      this.#rooms.log(`Discord lets the bot sign in no more often today; trying again in ${minutes} min.`)
      await delay(resetAfterMs, undefined, { signal })
    }
    return Promise.race([this.#gateway.connect(), stopped])
  }

  async #register({ application, username, guilds }: SignedIn): Promise<void> {
    const body = commandsOf(this.#rooms.commands.options)
    await this.#patiently(() => this.#rest.put(Routes.applicationCommands(application), { body }))
    const servers = guilds === 1 ? '1 server' : `${guilds} servers`
    this.#rooms.log(`Discord: signed in as ${username}, in ${servers}; invite it with ${inviteLink(application)}`)
  }

  /** Asks until Discord answers. @throws Error with a sentence when the answer is no */
  async #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const { signal } = this.#stopping
    for (let pause = 1000; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
      signal.throwIfAborted()
      try {
        return await ask()
      } catch (error) {
        if (error instanceof DiscordAPIError) throw new Error(sentenceFor(error), { cause: error })
        this.#rooms.log(`Discord cannot be reached (${(error as Error).message}); trying again in ${pause / 1000} s.`)
      }
      await delay(pause, undefined, { signal })
    }
  }
}

/** For a browser, so it does not follow DISCORD_API_URL. https://discord.com/developers/docs/topics/oauth2 */
function inviteLink(clientId: string): string {
  const scope = [OAuth2Scopes.Bot, OAuth2Scopes.ApplicationsCommands].join(' ')
  const permissions = String(PermissionsBitField.resolve(PERMISSIONS))
  return `https://discord.com/oauth2/authorize?${new URLSearchParams({ client_id: clientId, scope, permissions })}`
}

function sentenceFor({ status, code, message }: DiscordAPIError): string {
  if (status === 401) return WRONG_TOKEN
  if (code === undefined) return `DISCORD_API_URL answered ${status}, which Discord does not; correct it.`
  return `Discord refused to start the bot (${code}): ${message.replace(/\s+/g, ' ')}`
}
