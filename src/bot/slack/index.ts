/** Slack: a platform on Bolt, by Socket Mode or HTTP, whose messages are posted and edited with the bot's token. */

import { setTimeout as delay } from 'node:timers/promises'
import { App, webApi } from '@slack/bolt'
import { isFinished, type Job } from '../../job/job.ts'
import type { Platform } from '../platform.ts'
import type { Rooms } from '../rooms.ts'
import type { View } from '../view.ts'
import { messageOf } from './blocks.ts'
import { type ClientOptions, type Clients, clientOptions, clientsOf } from './client.ts'
import { type Connection, http, socketMode } from './connection.ts'
import { codeOf, throwPlaceGone } from './errors.ts'
import { deleteFiles, uploadPictures, waitForImages } from './files.ts'
import { type Identity, identify } from './identity.ts'
import { listen } from './listeners.ts'
import { loggerTo, withoutSecrets } from './logger.ts'
import { onceEach } from './once-each.ts'
import { formatMessage, parseMessage } from './place.ts'

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

/** Nothing is read by name or ping: `text` is escaped already, and these keep Slack from looking for more in it. */
const AS_TYPED = { parse: 'none', link_names: false } as const

class Slack implements Platform {
  readonly name = 'slack'
  /** Slack allows about 50 edits a minute for a whole workspace. */
  readonly editIntervalMs = 2000
  readonly #rooms: Rooms
  readonly #clients: Clients
  readonly #clientOptions: ClientOptions
  readonly #connection: Connection
  readonly #botToken: string
  readonly #stopping = new AbortController()
  readonly #presenting = new Set<Promise<void>>()
  /** When progress may be shown again, in milliseconds since the epoch. */
  #progressAt = 0
  #identity: Identity = { team: '', botId: '', botUserId: '', name: '' }

  constructor(options: SlackOptions, rooms: Rooms) {
    const logger = loggerTo(rooms.log)
    this.#rooms = rooms
    this.#botToken = options.botToken
    this.#clientOptions = clientOptions(options.apiUrl, logger)
    this.#clients = clientsOf(options.botToken, this.#clientOptions)
    this.#connection = connectionOf(options, this.#clientOptions, rooms)
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
    app.error(async (error) => rooms.log(`slack: ${withoutSecrets(error.message)}`))
    listen(app, {
      rooms,
      clients: this.#clients,
      team: () => this.#identity.team,
      present: (job) => {
        const presenting = this.#present(job).finally(() => this.#presenting.delete(presenting))
        this.#presenting.add(presenting)
        return presenting
      },
    })
  }

  async start(): Promise<void> {
    const { log } = this.#rooms
    this.#identity = await identify(this.#botToken, this.#clientOptions, log, this.#stopping.signal)
    await this.#connection.start()
  }

  /** What was asked for before is shown first: a message that nobody recorded would be posted again after a restart. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#connection.stop()
    await Promise.race([Promise.allSettled(this.#presenting), delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
  }

  async post(job: Job, view: View): Promise<string> {
    const { web } = this.#clients
    const files = await uploadPictures(web, this.#rooms.pictures, view)
    await waitForImages(web, files)
    const { channel } = job.place
    try {
      const message = { channel, ...messageOf(view, files), ...AS_TYPED, unfurl_links: false, unfurl_media: false }
      const { ts } = await web.chat.postMessage({ ...message, mrkdwn: false })
      return formatMessage({ ts: ts!, files })
    } catch (error) {
      throwPlaceGone(error, this.#identity.name)
    }
  }

  async edit(job: Job, view: View): Promise<void> {
    const { ts, files } = await this.#withPictures(job, view)
    const { channel } = job.place
    const message = { channel, ts, ...messageOf(view, files), ...AS_TYPED }
    try {
      if (isFinished(job)) await this.#clients.edits.chat.update(message)
      else await this.#showProgress(message)
    } catch (error) {
      throwPlaceGone(error, this.#identity.name)
    }
  }

  /** Past Slack's limit progress is let go for a while, so that it never stands in an answer's way. */
  async #showProgress(message: webApi.ChatUpdateArguments): Promise<void> {
    if (Date.now() < this.#progressAt) return
    try {
      await this.#clients.progress.chat.update(message)
    } catch (error) {
      if (!(error instanceof webApi.WebAPIRateLimitedError)) throw error
      this.#progressAt = Date.now() + 1000 * error.retryAfter
    }
  }

  async remove(job: Job): Promise<void> {
    if (job.place.message === undefined) return
    const { web } = this.#clients
    const { ts, files } = parseMessage(job.place.message)
    await web.chat.delete({ channel: job.place.channel, ts }).catch((error) => {
      if (!['message_not_found', 'channel_not_found'].includes(codeOf(error) ?? '')) throw error
    })
    await deleteFiles(web, files)
  }

  /** The message with its files; they are recorded before they are shown, so that a restart finds them and a deletion too. */
  async #withPictures(job: Job, view: View): Promise<{ ts: string; files: readonly string[] }> {
    const { web } = this.#clients
    const { ts, files } = parseMessage(job.place.message!)
    if (view.pictures.length === 0) return { ts, files: [] }
    if (files.length > 0) return { ts, files }
    const uploaded = await uploadPictures(web, this.#rooms.pictures, view)
    await this.#rooms.queue.placed(job.id, formatMessage({ ts, files: uploaded }))
    await waitForImages(web, uploaded)
    return { ts, files: uploaded }
  }

  /** A job that cannot be shown is withdrawn: its author is told, and nobody else would see it. */
  async #present(job: Job): Promise<void> {
    const { presenter, queue } = this.#rooms
    try {
      await presenter.present(job, (view) => this.post(job, view))
    } catch (error) {
      await queue.delete(job.id)
      await queue.answered(job.id)
      throw error
    }
  }
}

function connectionOf(options: SlackOptions, client: ClientOptions, { log }: Rooms): Connection {
  const { appToken, signingSecret, port = 3001, host = '127.0.0.1' } = options
  if (appToken !== undefined) return socketMode(appToken, client, log)
  if (signingSecret !== undefined) return http({ signingSecret, port, host }, log)
  throw new Error('Slack needs SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP).')
}
