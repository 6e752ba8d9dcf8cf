/**
 * A Discord of our own on loopback: REST and gateway, for the real discord.js client, with people in it.
 * Set DISCORD_API_URL to `apiUrl` and DISCORD_TOKEN to `token`; look at `problems` when done.
 */

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Gateway } from './gateway.ts'
import { Member } from './member.ts'
import type { FakeMessage } from './message.ts'
import { type Answer, type Filter, Rest } from './rest.ts'
import { type Channel, userOf, World } from './world.ts'

export type { Member } from './member.ts'
export type { FakeMessage } from './message.ts'
export type { Channel } from './world.ts'

export async function startFakeDiscord({ port = 0 } = {}): Promise<FakeDiscord> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return new FakeDiscord(server)
}

export class FakeDiscord {
  readonly token = 'fake.discord.token'
  readonly apiUrl: string
  /** A channel of the guild, where members are unless they go elsewhere. */
  readonly channel: Channel
  readonly #world = new World()
  readonly #server: Server
  readonly #rest: Rest
  readonly #gateway: Gateway
  #last: { event: string; data: unknown } | undefined

  constructor(server: Server) {
    const { port } = server.address() as AddressInfo
    const url = `ws://127.0.0.1:${port}`
    const { application, guild } = this.#world
    this.#server = server
    this.apiUrl = `http://127.0.0.1:${port}/api`
    this.channel = this.#world.channel(0)
    this.#rest = new Rest(this.#world, this.token, () => url)
    this.#gateway = new Gateway(server, {
      url,
      token: this.token,
      ready: {
        user: userOf(this.#world.bot, true),
        guilds: [{ id: guild, unavailable: true }],
        application: { id: application, flags: 0 },
      },
      greeting: [{ t: 'GUILD_CREATE', d: { id: guild, name: 'Friends', members: [], channels: [], roles: [] } }],
    })
    server.on('request', async (incoming, response) => {
      const { status, body, headers, isLost }: Answer = await this.#rest.answer(incoming)
      if (isLost) return void response.socket?.destroy()
      response.writeHead(status, { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers })
      response.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  get guildId(): string {
    return this.#world.guild
  }

  /** The commands that the bot registered, as it sent them. */
  get commands() {
    return this.#world.commands
  }

  /** Everything the bot did that Discord does not allow; a good bot leaves it empty. */
  get problems(): string[] {
    return [...this.#rest.problems, ...this.#gateway.problems]
  }

  /** Every request so far, as `METHOD /path`. */
  get requests(): readonly string[] {
    return this.#rest.requests
  }

  /** All messages, oldest first, without those that only one person sees. */
  get messages(): FakeMessage[] {
    return [...this.#world.messages.values()].filter(({ ephemeral }) => !ephemeral)
  }

  /** The `count`th of them, as soon as it is there. */
  async message(count: number): Promise<FakeMessage> {
    while (this.messages.length < count) await once(this.#world, 'message')
    return this.messages[count - 1]!
  }

  /** Somebody new in the guild. */
  member(username: string, nick: string | null = null): Member {
    const dispatch = (event: string, data: unknown) => {
      this.#last = { event, data }
      // A guild belongs to one shard; here any will do.
      this.#gateway.dispatch(event, data)
    }
    return new Member(this.#world, dispatch, { id: this.#world.snowflake(), username, nick }, this.channel)
  }

  /**
   * Another channel: `guild` text, in the one guild or another, a `thread` in it, `dm` with the bot, `group` of people without it, `foreign` text in a
   * guild that did not install it.
   */
  newChannel(kind: 'guild' | 'thread' | 'dm' | 'group' | 'foreign', guild?: string): Channel {
    const type = ({ guild: 0, thread: 11, dm: 1, group: 3, foreign: 0 } as const)[kind]
    return this.#world.channel(type, { isForeign: kind === 'foreign', ...(guild && { guild }) })
  }

  /** The id of another guild. */
  newGuild(): string {
    return this.#world.snowflake()
  }

  /** The next interactions were made so long ago. */
  ageInteractions(ms: number): void {
    this.#world.interactionAgeMs = ms
  }

  /** The bot's token ends. */
  revokeToken(): void {
    this.#rest.revoked = true
  }

  /** Refuses what `filter` gives a code for. */
  refuseMessages(filter: Filter): void {
    this.#rest.filter = filter
  }

  /** The next message that is posted stands, but the bot never hears of it. */
  loseNextAnswer(): void {
    this.#rest.loseAnswer = true
  }

  /** Discord recommends so many shards, and the gateway takes no fewer. */
  requireShards(count: number): void {
    this.#rest.shards = count
    this.#gateway.shards = count
  }

  /** The shards that are signed in, as `index of count`. */
  get shards(): string[] {
    return this.#gateway.signedIn
  }

  /** Sends a frame as it stands to every connection; what is no text is sent as bytes. */
  sendFrame(frame: string | Buffer): void {
    this.#gateway.send(frame)
  }

  /** The next `READY` is this in place of the true one. */
  spoilReady(data: unknown): void {
    this.#gateway.spoiledReady = data
  }

  /** Fifteen minutes pass for every interaction so far. */
  expireTokens(): void {
    for (const interaction of this.#world.interactions.values()) interaction.expired = true
  }

  /** The largest file that may be attached, in bytes. */
  limitAttachments(bytes: number): void {
    this.#world.attachmentLimit = bytes
  }

  /** A channel's messages may be created and edited so often in so many milliseconds. */
  limitRequests(requests: number, ms: number): void {
    this.#rest.limit = { requests, ms }
  }

  /** The next requests to channels are answered with 429, whatever the headers said before. */
  refuseRequests(count: number): void {
    this.#rest.refuse = count
  }

  /** From now on no answer to an interaction is in time. */
  missInteractions(): void {
    this.#rest.late = true
  }

  /** How many requests were answered with 429. */
  get limited(): number {
    return this.#rest.limited
  }

  /** Closes whoever identifies with this gateway close code. */
  refuseSessions(code: number): void {
    this.#gateway.refusal = code
  }

  /** Cuts the gateway's connections; after most codes the client may resume. */
  dropConnections(code?: number): void {
    this.#gateway.drop(code)
  }

  /** The last event comes once more, as happens when a session resumes. */
  repeatLastEvent(): void {
    this.#gateway.dispatch(this.#last!.event, this.#last!.data)
  }

  async stop(): Promise<void> {
    this.#gateway.stop()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}
