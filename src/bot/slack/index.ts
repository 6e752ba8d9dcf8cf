/** Slack: a platform on Bolt, by Socket Mode or HTTP, whose messages are posted and edited with the bot's token. */

import { setTimeout as delay } from 'node:timers/promises'
import { App } from '@slack/bolt'
import type { Job } from '../../job/job.ts'
import { Budget } from '../budget.ts'
import { Failure } from '../failure.ts'
import type { Platform } from '../platform.ts'
import type { Rooms } from '../rooms.ts'
import type { View } from '../view.ts'
import { type ClientOptions, clientOptions, clientsOf } from './client.ts'
import { type Connection, http, socketMode } from './connection.ts'
import { problemOf } from './events.ts'
import { type Identity, identify } from './identity.ts'
import { listen } from './listeners.ts'
import { loggerTo, withoutSecrets } from './logger.ts'
import { Messages } from './messages.ts'
import { onceEach } from './once-each.ts'

export interface SlackOptions {
  /** `xoxb-…` */
  readonly botToken: string
  /** `xapp-…`, for Socket Mode; it goes before the signing secret. */
  readonly appToken?: string | undefined
  /** For HTTP, with `port` and `host` to listen on. */
  readonly signingSecret?: string | undefined
  readonly port?: number
  readonly host?: string
  /** The Web API's address, `https://slack.com/api/`. */
  readonly apiUrl: string
}

export function createSlack(options: SlackOptions, rooms: Rooms): Platform {
  return new Slack(options, rooms)
}

/** When Slack does not answer, nothing waits for it longer. */
const STOP_TIMEOUT_MS = 3000

class Slack implements Platform {
  readonly name = 'slack'
  readonly editIntervalMs = 2000
  /** Slack allows about 50 edits a minute for a whole workspace. */
  readonly budget = new Budget(5, 10_000)
  readonly #failure = new Failure()
  readonly failed = this.#failure.told
  readonly #rooms: Rooms
  readonly #clientOptions: ClientOptions
  readonly #connection: Connection
  readonly #messages: Messages
  readonly #botToken: string
  readonly #stopping = new AbortController()
  readonly #presenting = new Set<Promise<void>>()
  #identity: Identity = { team: '', botId: '', botUserId: '', name: '' }

  constructor(options: SlackOptions, rooms: Rooms) {
    const { log } = rooms
    const logger = loggerTo(log)
    const failure = this.#failure
    this.#rooms = rooms
    this.#botToken = options.botToken
    this.#clientOptions = clientOptions(options.apiUrl, logger)
    this.#connection = connectionOf(options, this.#clientOptions, failure, rooms)
    const clients = clientsOf(options.botToken, this.#clientOptions)
    const identity = () => this.#identity
    const messages = new Messages({ rooms, clients, budget: this.budget, identity, failure })
    this.#messages = messages
    const app = new App({
      receiver: this.#connection.receiver,
      logger,
      clientOptions: this.#clientOptions,
      convoStore: false,
      authorize: async () => {
        const { botId, botUserId } = this.#identity
        return { botToken: options.botToken, botId, botUserId }
      },
    })
    app.use(onceEach())
    app.error(async (error) => log(`slack: ${withoutSecrets(error.message)}`))
    checkEvents(app, rooms)
    const present = (job: Job) => this.#present(job)
    listen(app, { rooms, clients, messages, team: () => this.#identity.team, present })
  }

  async start(): Promise<void> {
    const { log } = this.#rooms
    this.#identity = await identify(this.#botToken, this.#clientOptions, log, this.#stopping.signal)
    await this.#connection.start()
  }

  /** What was asked for before is shown first: a message that nobody recorded would have to be looked for after a restart. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#connection.stop()
    await Promise.race([Promise.allSettled(this.#presenting), delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
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

  #present(job: Job): Promise<void> {
    const presenting = this.#rooms.presenter
      .present(job, (view) => this.#messages.first(job, view))
      .finally(() => this.#presenting.delete(presenting))
    this.#presenting.add(presenting)
    return presenting
  }
}

/** Bolt looks deep into an event before anything of ours could stop it. */
function checkEvents(app: App, { log }: Rooms): void {
  const process = app.processEvent.bind(app)
  app.processEvent = async (event) => {
    const problem = problemOf(event.body)
    if (problem === undefined) return process(event)
    log(`slack: an event was left out: ${problem}`)
    await event.ack()
  }
}

function connectionOf(options: SlackOptions, client: ClientOptions, failure: Failure, { log }: Rooms): Connection {
  const { appToken, signingSecret, port = 3001, host = '127.0.0.1' } = options
  if (appToken !== undefined) return socketMode(appToken, client, failure, log)
  if (signingSecret !== undefined) return http({ signingSecret, port, host }, log)
  throw new Error('Slack needs SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP).')
}
