/** Discord's gateway: as many shards as Discord recommends, all in this process, since one may serve 2,500 guilds at most. */

import {
  type SessionInfo,
  SimpleShardingStrategy,
  WebSocketManager,
  type WebSocketShard,
  WebSocketShardEvents,
} from '@discordjs/ws'
import {
  type APIInteraction,
  GatewayCloseCodes,
  GatewayDispatchEvents,
  GatewayIntentBits,
  type GatewayReadyDispatchData,
  type REST,
} from 'discord.js'
import type { Failure } from '../failure.ts'
import type { Log } from '../platform.ts'
import { WRONG_TOKEN } from './errors.ts'
import { guard } from './frames.ts'

export interface GatewayOptions {
  readonly token: string
  readonly rest: REST
  readonly log: Log
  /** Told when Discord closes it for good. */
  readonly failure: Failure
  /** Whatever came as an interaction; its form is unchecked. */
  readonly onInteraction: (interaction: APIInteraction) => void
}

/** Who signed in, as the gateway tells. */
export interface SignedIn {
  readonly application: string
  readonly username: string
  /** In how many servers it is. */
  readonly guilds: number
}

/** Discord takes no such connection again. https://discord.com/developers/docs/topics/opcodes-and-status-codes */
const FINAL: readonly number[] = [
  GatewayCloseCodes.AuthenticationFailed,
  GatewayCloseCodes.InvalidShard,
  GatewayCloseCodes.ShardingRequired,
  GatewayCloseCodes.InvalidAPIVersion,
  GatewayCloseCodes.InvalidIntents,
  GatewayCloseCodes.DisallowedIntents,
]

export class Gateway {
  readonly #log: Log
  readonly #manager: WebSocketManager
  readonly #sessions = new Map<number, SessionInfo>()
  /** By shard: what its `READY` said. */
  readonly #ready = new Map<number, GatewayReadyDispatchData>()
  readonly #lost = new Set<number>()
  readonly #failure: Failure
  #signedIn: (as: SignedIn) => void = () => {}
  #isOver = false
  #isResharding = false
  /** What was reported last. */
  #problem = ''

  constructor({ token, rest, log, failure, onInteraction }: GatewayOptions) {
    this.#log = log
    this.#failure = failure
    this.#manager = new WebSocketManager({
      token,
      rest,
      intents: GatewayIntentBits.Guilds,
      buildStrategy: (manager) => new GuardedShards(manager, (problem) => this.#report(problem)),
      retrieveSessionInfo: (shard) => this.#sessions.get(shard) ?? null,
      updateSessionInfo: (shard, session) => {
        if (session) this.#sessions.set(shard, session)
        else this.#sessions.delete(shard)
      },
    })
    this.#manager.on(WebSocketShardEvents.Dispatch, ({ data: { t, d } }) => {
      if (t === GatewayDispatchEvents.InteractionCreate) onInteraction(d)
    })
    this.#manager.on(WebSocketShardEvents.Ready, ({ data, shardId }) => void this.#isReady(shardId, data))
    this.#manager.on(WebSocketShardEvents.Resumed, ({ shardId }) => this.#isBack(shardId))
    this.#manager.on(WebSocketShardEvents.Closed, ({ code, shardId }) => this.#closed(shardId, code))
    this.#manager.on(WebSocketShardEvents.Error, ({ error }) => this.#report(error.message))
  }

  /** How many shards Discord recommends, and how many may sign in today. @throws DiscordAPIError, or a network's error */
  async ask(): Promise<{ shards: number; remaining: number; resetAfterMs: number }> {
    const { shards, session_start_limit: limit } = await this.#manager.fetchGatewayInformation()
    return { shards, remaining: limit.remaining, resetAfterMs: limit.reset_after }
  }

  /** Resolves when every shard has signed in. @throws Error with a sentence when Discord refuses */
  async connect(): Promise<SignedIn> {
    const signedIn = new Promise<SignedIn>((resolve) => {
      this.#signedIn = resolve
    })
    const refused = this.#failure.told.then((error) => {
      throw error
    })
    this.#open()
    return Promise.race([signedIn, refused])
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#manager.destroy({ reason: 'Seedling is stopping.' })
  }

  /** What becomes of the connections is told by their events; the library's promise ends with the first failure. */
  #open(): void {
    this.#manager.connect().catch((error: Error | undefined) => this.#report(error?.message ?? 'it failed'))
  }

  async #isReady(shard: number, data: GatewayReadyDispatchData): Promise<void> {
    this.#ready.set(shard, data)
    this.#isBack(shard)
    if (this.#ready.size < (await this.#manager.getShardCount())) return
    const guilds = [...this.#ready.values()].reduce((sum, { guilds }) => sum + guilds.length, 0)
    this.#signedIn({ application: data.application.id, username: data.user.username, guilds })
  }

  /** The library tries twice a second; the log hears of it once. */
  #isBack(shard: number): void {
    if (this.#lost.delete(shard) && this.#lost.size === 0) this.#log('Discord: the connection is back.')
  }

  #closed(shard: number, code: number): void {
    if (this.#isOver || this.#isResharding) return
    if (code === GatewayCloseCodes.ShardingRequired) void this.#reshard()
    else if (FINAL.includes(code)) this.#end(refusalOf(code))
    else if (this.#lost.add(shard).size === 1) this.#log('Discord: the connection is lost; trying again.')
  }

  /** More guilds than our shards may serve: more shards, unless Discord itself knows no better number. */
  async #reshard(): Promise<void> {
    this.#isResharding = true
    try {
      const before = await this.#manager.getShardCount()
      const { shards } = await this.#manager.fetchGatewayInformation(true)
      if (shards <= before) return this.#end(refusalOf(GatewayCloseCodes.ShardingRequired))
      this.#log(`Discord: ${before} connections are too few for its servers; opening ${shards}.`)
      this.#ready.clear()
      this.#lost.clear()
      await this.#manager.updateShardCount(shards)
      this.#open()
    } catch (error) {
      this.#end(`Discord wants more connections and did not say how many (${(error as Error).message}).`)
    } finally {
      this.#isResharding = false
    }
  }

  #end(sentence: string): void {
    this.#isOver = true
    this.#failure.tell(sentence)
  }

  /** What keeps a connection from coming back is the same twice a second. */
  #report(problem: string): void {
    if (this.#isOver || (this.#lost.size > 0 && problem === this.#problem)) return
    this.#problem = problem
    this.#log(`Discord: the connection: ${problem}`)
  }
}

class GuardedShards extends SimpleShardingStrategy {
  readonly #report: (problem: string) => void

  constructor(manager: WebSocketManager, report: (problem: string) => void) {
    super(manager)
    this.#report = report
  }

  override async spawn(shardIds: number[]): Promise<void> {
    await super.spawn(shardIds)
    const { shards } = this as unknown as { shards: Map<number, WebSocketShard> }
    for (const shard of shards.values()) guard(shard, this.#report)
  }
}

function refusalOf(code: number): string {
  if (code === GatewayCloseCodes.AuthenticationFailed) return WRONG_TOKEN
  return `Discord closed the connection for good (${code} ${GatewayCloseCodes[code] ?? ''}); start Seedling again.`
}
