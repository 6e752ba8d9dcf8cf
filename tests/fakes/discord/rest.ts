/** The fake REST API: checks what the bot sends, changes the world, and answers as Discord does. */

import type { IncomingMessage } from 'node:http'
import {
  type Body,
  callbackProblems,
  commandProblems,
  type MessageForm,
  messageProblems,
  type UploadedFile,
} from './contract.ts'
import type { FakeMessage } from './message.ts'
import { ERRORS, Refusal } from './refusal.ts'
import { type Interaction, userOf, type World } from './world.ts'

export interface Answer {
  readonly status: number
  readonly body?: Body
  readonly headers?: Record<string, string> | undefined
  readonly isLost?: boolean
}

interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly authorization: string | undefined
  readonly body: Body
  readonly files: readonly UploadedFile[]
}

/** What a filter looks at. */
export interface Sent {
  readonly method: string
  readonly path: string
  readonly content: string
  readonly files: readonly UploadedFile[]
}

/** The code to refuse it with, if any. */
export type Filter = (sent: Sent) => keyof typeof ERRORS | undefined

export class Rest {
  readonly #world: World
  readonly #token: string
  readonly #gatewayUrl: () => string
  /** Whatever the bot sent that Discord, or Seedling's own promise, does not allow. */
  readonly problems: string[] = []
  /** Every request as `METHOD /path`, oldest first. */
  readonly requests: string[] = []
  /** A channel's messages may be created and edited so often in so long. */
  limit = { requests: 1000, ms: 1000 }
  /** How many requests were answered with 429. */
  limited = 0
  /** How many requests to channels are answered with 429 whatever the headers said. */
  refuse = 0
  /** Answers to interactions come too late. */
  late = false
  /** Looks at every message that is created or edited. */
  filter: Filter = () => undefined
  /** The next creation of a message is done, but its answer is lost. */
  loseAnswer = false
  shards = 1
  /** The bot's token is good for nothing any more. */
  revoked = false
  readonly #buckets = new Map<string, { remaining: number; resetAt: number }>()
  readonly #nonces = new Map<string, FakeMessage>()

  constructor(world: World, token: string, gatewayUrl: () => string) {
    this.#world = world
    this.#token = token
    this.#gatewayUrl = gatewayUrl
  }

  async answer(incoming: IncomingMessage): Promise<Answer> {
    const request = await read(incoming)
    this.requests.push(`${request.method} ${request.path}`)
    const limits = this.#limits(request)
    if (limits.status === 429) return limits
    try {
      const answer = { status: 200, ...(await this.#route(request)), headers: limits.headers }
      if (!this.loseAnswer || request.method !== 'POST' || !/\/messages$/.test(request.path)) return answer
      this.loseAnswer = false
      return { ...answer, isLost: true }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return {
        status: ERRORS[error.code][0],
        body: { code: error.code, message: error.message },
        headers: limits.headers,
      }
    }
  }

  async #route(request: Request): Promise<Partial<Answer>> {
    const { method, path } = request
    if (!path.startsWith('/api/v10/')) return { status: 404 }
    const parts = path
      .replace(/^\/api\/v10\//, '')
      .split('/')
      .map(decodeURIComponent)
    switch (`${method} ${parts[0]}`) {
      case 'POST interactions':
        return this.#callback(request, parts[2]!)
      case 'POST webhooks':
      case 'PATCH webhooks':
      case 'GET webhooks':
      case 'DELETE webhooks':
        return this.#webhook(request, parts[2]!, parts[4])
    }
    if (this.revoked || request.authorization !== `Bot ${this.#token}`) throw new Refusal(0)
    switch (`${method} ${parts[0]}`) {
      case 'GET gateway':
        return { body: { url: this.#gatewayUrl(), shards: this.shards, session_start_limit: SESSIONS } }
      case 'GET applications':
        return { body: { id: this.#world.application, name: 'Seedling', flags: 0 } }
      case 'PUT applications':
        this.#check(commandProblems(request.body), request)
        this.#world.commands = request.body
        return { body: request.body.map((command: Body) => ({ id: this.#world.snowflake(), ...command })) }
      default:
        return this.#channelMessage(request, parts[1]!, parts[3])
    }
  }

  #callback(request: Request, token: string): Partial<Answer> {
    this.#requireNoToken(request)
    const { body, files, query } = request
    const interaction = this.#world.interactions.get(token)
    if (!interaction || interaction.expired || this.late) throw new Refusal(10062)
    if (interaction.answer !== undefined) throw new Refusal(40060)
    this.#check(callbackProblems(body, files), request)
    interaction.answer = body.type
    if (body.type === 8) interaction.answered(body.data.choices.map(({ value }: Body) => value))
    if (body.type === 6) interaction.answered(interaction.target!)
    if (body.type === 4 || body.type === 5) this.#answerWith(interaction, body, files)
    if (query.get('with_response') !== 'true') return { status: 204 }
    const message = body.type === 8 || body.type === 6 ? undefined : this.#json(interaction.original!)
    return { body: { interaction: { id: interaction.id, type: 2 }, resource: { type: body.type, message } } }
  }

  #answerWith(interaction: Interaction, { data }: Body, files: readonly UploadedFile[]): void {
    const { channel, person } = interaction
    interaction.original = this.#world.message(channel.id, 20, data, files, person)
    interaction.answered(interaction.original)
  }

  #webhook(request: Request, token: string, id: string | undefined): Partial<Answer> {
    this.#requireNoToken(request)
    const { method, body, files } = request
    const interaction = this.#world.interactions.get(token)
    if (!interaction) throw new Refusal(10015)
    if (interaction.expired) throw new Refusal(50027)
    if (interaction.channel.deleted) throw new Refusal(10003)
    if (interaction.answer === undefined) throw new Refusal(10015)
    if (method === 'POST') return { body: this.#json(this.#followUp(interaction, request)) }
    const message = id === '@original' ? interaction.original : this.#world.messages.get(id!)
    if (!message || message.deleted) throw new Refusal(10008)
    if (method === 'DELETE') {
      message.delete()
      return { status: 204 }
    }
    if (method === 'PATCH') this.#edit('webhook edit', message, request, body, files)
    return { body: this.#json(message) }
  }

  #followUp({ channel, person, original }: Interaction, request: Request): FakeMessage {
    const { body, files } = request
    if (original?.loading && !original.deleted)
      this.problems.push('a follow-up where the announced message is expected')
    this.#check(messageProblems('webhook create', body, files), request)
    return this.#world.message(channel.id, 0, body, files, person)
  }

  #channelMessage(request: Request, channelId: string, id: string | undefined): Partial<Answer> {
    const { method, body, files } = request
    const channel = this.#world.channels.get(channelId)
    if (!channel || channel.deleted) throw new Refusal(10003)
    // A conversation among people is unknown to a bot; a server's channel is closed to it.
    if (!channel.botSees) throw new Refusal(channel.type === 3 ? 10003 : 50001)
    if (method === 'POST') {
      if (channel.isLocked) throw new Refusal(50083)
      channel.isArchived = false
      return { body: this.#json(this.#create(request, channelId, channel.botAttaches)) }
    }
    const message = this.#world.messages.get(id!)
    if (!message || message.deleted || message.ephemeral) throw new Refusal(10008)
    if (channel.isArchived && method !== 'GET') throw new Refusal(50083)
    if (method === 'DELETE') {
      message.delete()
      return { status: 204 }
    }
    if (method === 'PATCH') {
      if (files.length > 0 && !channel.botAttaches) throw new Refusal(50013)
      this.#edit('edit', message, request, body, files)
    }
    return { body: this.#json(message) }
  }

  #create(request: Request, channel: string, mayAttach: boolean): FakeMessage {
    const { body, files } = request
    if (files.length > 0 && !mayAttach) throw new Refusal(50013)
    this.#check(messageProblems('create', body, files), request)
    const standing = body.enforce_nonce && this.#nonces.get(body.nonce)
    if (standing) return standing
    const message = this.#world.message(channel, 0, body, files, this.#world.bot)
    this.#nonces.set(body.nonce, message)
    return message
  }

  #edit(form: MessageForm, message: FakeMessage, request: Request, body: Body, files: readonly UploadedFile[]): void {
    this.#check(messageProblems(form, body, files), request)
    message.edits++
    message.set(body, files)
  }

  /** Refuses what Discord refuses, and keeps what is wrong, for a test to see. */
  #check(problems: readonly string[], { method, path, body, files }: Request): void {
    const content = String(body?.content ?? body?.data?.content ?? '')
    const refused = this.filter({ method, path, content, files })
    if (refused) throw new Refusal(refused)
    const bytes = files.map(({ data }) => data.length)
    if (bytes.some((size) => size > this.#world.attachmentLimit)) throw new Refusal(40005)
    const all = [
      ...problems,
      ...(bytes.reduce((sum, size) => sum + size, 0) > 25 * 2 ** 20 ? ['more than 25 MiB'] : []),
    ]
    if (all.length === 0) return
    this.problems.push(
      ...all.map((problem) => `${method} ${path}: ${problem} in ${JSON.stringify(body).slice(0, 300)}`),
    )
    throw new Refusal(50035)
  }

  #requireNoToken({ authorization, path }: Request): void {
    if (authorization) this.problems.push(`${path}: the bot's token is sent where none is needed`)
  }

  /** A channel's messages share one bucket, as its headers tell. */
  #limits({ method, path }: Request): Answer {
    const channel = /^\/api\/v10\/channels\/(\d+)\/messages/.exec(path)?.[1]
    if (!channel || method === 'GET') return { status: 200 }
    const now = Date.now()
    let bucket = this.#buckets.get(channel)
    if (!bucket || bucket.resetAt <= now) bucket = { remaining: this.limit.requests, resetAt: now + this.limit.ms }
    this.#buckets.set(channel, bucket)
    const seconds = String((bucket.resetAt - now) / 1000)
    const headers = {
      'x-ratelimit-bucket': 'messages',
      'x-ratelimit-limit': String(this.limit.requests),
      'x-ratelimit-remaining': String(Math.max(0, bucket.remaining - 1)),
      'x-ratelimit-reset-after': seconds,
    }
    if (this.refuse > 0 || bucket.remaining === 0) {
      const wait = this.refuse-- > 0 ? '0.02' : seconds
      this.limited++
      const body = { message: 'You are being rate limited.', retry_after: Number(wait), global: false }
      return { status: 429, body, headers: { ...headers, 'retry-after': wait, 'x-ratelimit-scope': 'user' } }
    }
    bucket.remaining--
    return { status: 200, headers }
  }

  #json(message: FakeMessage): Body {
    return message.toJSON(userOf(this.#world.bot, true))
  }
}

const SESSIONS = { total: 1000, remaining: 1000, reset_after: 0, max_concurrency: 16 }

/** Discord takes JSON, or a form whose `payload_json` is the JSON and whose `files[n]` are the files. */
async function read(incoming: IncomingMessage): Promise<Request> {
  const { pathname: path, searchParams: query } = new URL(incoming.url!, 'http://localhost')
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const { authorization, 'content-type': type } = incoming.headers
  const { body, files } = await parse(Buffer.concat(chunks), type)
  return { method: incoming.method!, path, query, authorization, body, files }
}

async function parse(raw: Buffer, type: string | undefined): Promise<{ body: Body; files: UploadedFile[] }> {
  if (!type?.startsWith('multipart/')) return { body: raw.length > 0 ? JSON.parse(String(raw)) : undefined, files: [] }
  const form = await new Response(new Uint8Array(raw), { headers: { 'content-type': type } }).formData()
  const files: UploadedFile[] = []
  for (const [key, value] of form) {
    const index = /^files\[(\d+)\]$/.exec(key)?.[1]
    if (index === undefined || typeof value === 'string') continue
    files[Number(index)] = { name: value.name, type: value.type, data: Buffer.from(await value.arrayBuffer()) }
  }
  return { body: JSON.parse(String(form.get('payload_json'))), files }
}
