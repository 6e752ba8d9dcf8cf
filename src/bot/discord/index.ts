/** Discord as a platform: connects, registers the commands, and draws jobs in messages. */

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  Client,
  DiscordAPIError,
  Events,
  GatewayCloseCodes,
  GatewayIntentBits,
  OAuth2Scopes,
  Options,
  PermissionFlagsBits,
  PermissionsBitField,
  Routes,
} from 'discord.js'
import type { Job } from '../../job/job.ts'
import type { Platform } from '../platform.ts'
import type { Rooms } from '../rooms.ts'
import type { View } from '../view.ts'
import { Interactions } from './interactions.ts'
import { Messages } from './messages.ts'
import { commandsOf } from './registration.ts'

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
  /** A channel's messages may be edited about once a second; a quarter of that is kept for answers. */
  readonly editIntervalMs = 2000
  readonly #token: string
  readonly #rooms: Rooms
  readonly #client: Client
  readonly #messages: Messages
  readonly #interactions: Interactions
  readonly #stopping = new AbortController()
  #isLost = false

  constructor({ token, apiUrl }: DiscordSettings, rooms: Rooms) {
    this.#token = token
    this.#rooms = rooms
    this.#client = new Client({
      intents: [GatewayIntentBits.Guilds],
      rest: { api: apiUrl.replace(/\/+$/, '') },
      // Nothing here needs to know a guild before its members are served.
      waitGuildTimeout: 0,
      // Nor are messages or people looked up again; kept, they would pile up for as long as the bot runs.
      makeCache: Options.cacheWithLimits({
        ...Options.DefaultMakeCacheSettings,
        MessageManager: 0,
        UserManager: { maxSize: 0, keepOverLimit: ({ id, client }) => id === client.user.id },
        GuildMemberManager: { maxSize: 0, keepOverLimit: ({ id, client }) => id === client.user.id },
      }),
    })
    // Messages can be edited before, and even without, a connection to the gateway.
    this.#client.rest.setToken(token)
    this.#messages = new Messages(this.#client.rest, rooms.pictures)
    this.#interactions = new Interactions(this.#client.rest, this.#messages, rooms)
    this.#client.on(Events.InteractionCreate, (interaction) => this.#interactions.handle(interaction))
    this.#client.on(Events.Error, (error) => rooms.log(`Discord: ${error.message}`))
    this.#client.on(Events.ShardError, (error) => rooms.log(`Discord: the connection failed: ${error.message}`))
    this.#client.on(Events.ShardReconnecting, () => this.#connectionIs('lost; trying again', true))
    this.#client.on(Events.ShardResume, () => this.#connectionIs('back', false))
    this.#client.on(Events.ShardReady, () => this.#connectionIs('back', false))
  }

  async start(): Promise<void> {
    try {
      // The client gives up at the first failure; asked beforehand, Discord may be away for as long as it likes.
      await this.#patiently(() => this.#client.rest.get(Routes.gatewayBot()))
      await this.#register(await this.#connect())
    } catch (error) {
      throw this.#stopping.signal.aborted ? this.#stopping.signal.reason : error
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('Discord: stopped before it was reached.'))
    this.#client.removeAllListeners(Events.InteractionCreate)
    await Promise.race([this.#interactions.settled(), delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
    await this.#client.destroy()
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

  /** The client tries twice a second; the log hears of it once. */
  #connectionIs(what: string, isLost: boolean): void {
    if (this.#stopping.signal.aborted) return
    if (this.#isLost !== isLost) this.#rooms.log(`Discord: the connection is ${what}.`)
    this.#isLost = isLost
  }

  async #connect(): Promise<Client<true>> {
    const refused = new Promise<never>((_, reject) => {
      this.#client.once(Events.ShardDisconnect, ({ code }) => reject(new Error(refusalOf(code))))
    })
    const ready = once(this.#client, Events.ClientReady, { signal: this.#stopping.signal })
    await Promise.race([refused, Promise.all([ready, this.#client.login(this.#token)])])
    this.#client.on(Events.ShardDisconnect, ({ code }) => this.#rooms.log(refusalOf(code)))
    return this.#client as Client<true>
  }

  async #register({ application, user, guilds }: Client<true>): Promise<void> {
    const body = commandsOf(this.#rooms.commands.options)
    await this.#patiently(() => this.#client.rest.put(Routes.applicationCommands(application.id), { body }))
    const servers = guilds.cache.size === 1 ? '1 server' : `${guilds.cache.size} servers`
    this.#rooms.log(
      `Discord: signed in as ${user.username}, in ${servers}; invite it with ${inviteLink(application.id)}`,
    )
  }

  /** Asks until Discord answers. @throws Error with a sentence when the answer is no */
  async #patiently(ask: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#stopping
    for (let pause = 1000; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
      signal.throwIfAborted()
      try {
        await ask()
        return
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

const WRONG_TOKEN =
  'Discord refused DISCORD_TOKEN; copy it again from https://discord.com/developers/applications (Bot, Reset Token).'

function sentenceFor({ status, code, message }: DiscordAPIError): string {
  if (status === 401) return WRONG_TOKEN
  if (code === undefined) return `DISCORD_API_URL answered ${status}, which Discord does not; correct it.`
  return `Discord refused to start the bot (${code}): ${message.replace(/\s+/g, ' ')}`
}

function refusalOf(code: number): string {
  if (code === GatewayCloseCodes.AuthenticationFailed) return WRONG_TOKEN
  return `Discord closed the connection for good (${code} ${GatewayCloseCodes[code] ?? ''}); start Seedling again.`
}
