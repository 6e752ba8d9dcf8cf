/** Slack's Web API, as far as a bot needs it: each call is checked against the rules before it changes the workspace. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { z } from 'zod'
import { type Args, change, type Method, type Modal, methods, reply } from './rules.ts'
import type { Channel, File, Message, Workspace } from './workspace.ts'

export interface Credentials {
  readonly botToken: string
  readonly appToken: string
  /** What the app was granted. */
  scopes: readonly string[]
}

/** In place of the true answer an error's code or a bare HTTP status; or the true one, late or never. */
export type Fault =
  | { readonly error: string }
  | { readonly status: number; readonly retryAfter?: number }
  | { readonly after: Promise<unknown> }
  /** It is done, but the app never hears of it. */
  | { readonly lost: true; readonly after?: Promise<unknown> }

export interface Trigger {
  readonly user: string
  readonly channel: Channel
  isUsed: boolean
}

export interface OpenModal {
  readonly trigger: Trigger
  readonly view: Modal
}

class Refusal extends Error {
  readonly code: string
  constructor(code: string, message = code) {
    super(message)
    this.code = code
  }
}

export class WebApi {
  /** Everything that the bot did against the rules. */
  readonly violations: string[] = []
  readonly calls: { readonly method: string; readonly args: Record<string, string> }[] = []
  readonly modals: OpenModal[] = []
  readonly triggers = new Map<string, Trigger>()
  /** Response URLs by their last part, with the times they may still be used. */
  readonly responseUrls = new Map<string, { user: string; channel: Channel; left: number; clicked?: Message }>()
  /** Times that `files.info` is asked about a new file before it shows a mimetype. */
  polls = 2
  origin = ''
  readonly #workspace: Workspace
  readonly #credentials: Credentials
  readonly #faults = new Map<string, Fault[]>()

  constructor(workspace: Workspace, credentials: Credentials) {
    this.#workspace = workspace
    this.#credentials = credentials
  }

  /** The next calls of `method` get these answers. */
  fail(method: Method, ...faults: Fault[]): void {
    this.#faults.set(method, [...(this.#faults.get(method) ?? []), ...faults])
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, root, rest] = /^\/(api|upload|response)\/([\w.]+)$/.exec(request.url!) ?? []
    const body = await buffer(request)
    if (root === 'api') await this.#call(rest!, request, body.toString(), response)
    else if (root === 'upload') await this.#upload(rest!, request, body, response)
    else if (root === 'response') this.#respond(rest!, body.toString(), response)
    else response.writeHead(404).end()
    this.#workspace.changed()
  }

  async #call(method: string, { headers }: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    const args = Object.fromEntries(new URLSearchParams(body))
    this.calls.push({ method, args })
    const fault = this.#faults.get(method)?.shift()
    this.#workspace.changed()
    if (fault && 'lost' in fault) {
      this.#answer(method, headers.authorization, args)
      this.#workspace.changed()
      await fault.after
      response.socket?.destroy()
      return
    }
    if (fault && 'after' in fault) await fault.after
    if (fault && 'status' in fault) {
      const retry = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
      response.writeHead(fault.status, retry).end()
      return
    }
    const granted = { 'content-type': 'application/json', 'x-oauth-scopes': this.#credentials.scopes.join(',') }
    response.writeHead(200, granted)
    const answer =
      fault && 'error' in fault ? { ok: false, ...fault } : this.#answer(method, headers.authorization, args)
    response.end(JSON.stringify(answer))
  }

  #answer(method: string, authorization: string | undefined, args: Record<string, string>): object {
    try {
      if (!Object.hasOwn(methods, method)) throw this.#violation('unknown_method', method)
      this.#authorize(method as Method, authorization)
      const parsed = methods[method as Method].args.safeParse(args)
      if (!parsed.success) {
        const code = parsed.error.issues.some(({ path }) => path[0] === 'blocks')
          ? 'invalid_blocks'
          : 'invalid_arguments'
        throw this.#violation(code, `${method}: ${parsed.error.message}`)
      }
      return { ok: true, ...this.#methods[method as Method](parsed.data as never) }
    } catch (error) {
      if (error instanceof Refusal) return { ok: false, error: error.code }
      throw error
    }
  }

  #authorize(method: Method, authorization: string | undefined): void {
    const { botToken, appToken, scopes } = this.#credentials
    const { scope } = methods[method]
    const isForApp = scope === 'connections:write'
    if (authorization === undefined) throw this.#violation('not_authed', `${method} without a token`)
    if (authorization !== `Bearer ${isForApp ? appToken : botToken}`) throw new Refusal('invalid_auth')
    if (scope && !isForApp && !scopes.includes(scope))
      throw this.#violation('missing_scope', `${method} needs ${scope}`)
  }

  #violation(code: string, what: string): Refusal {
    this.violations.push(`${code}: ${what}`)
    return new Refusal(code, what)
  }

  readonly #methods: { [M in Method]: (args: Args<M>) => object } = {
    'auth.test': () => {
      const { team, bot } = this.#workspace
      return { team_id: team.id, user_id: bot.userId, bot_id: bot.id, user: bot.name, team: team.domain }
    },
    'apps.connections.open': () => ({
      url: `${this.origin.replace('http', 'ws')}/socket?ticket=${this.#workspace.next()}`,
    }),
    'chat.postMessage': ({ channel, ...content }) => {
      this.#checkFiles(content.blocks)
      if (content.unfurl_links || content.unfurl_media) this.violations.push('chat.postMessage: links would unfurl')
      const message = this.#workspace.addMessage(this.#writable(channel), content)
      return { channel: message.channel.id, ts: message.ts }
    },
    'conversations.history': ({ channel, oldest, latest, inclusive, limit, include_all_metadata, cursor = '0' }) => {
      const { kind } = this.#readable(channel)
      const scope = { public: 'channels:history', private: 'groups:history', direct: 'im:history' }[kind]
      if (!this.#credentials.scopes.includes(scope)) throw new Refusal('missing_scope')
      const within = ({ ts }: Message) => {
        const [from, to] = [Number(oldest ?? 0), Number(latest ?? Number.POSITIVE_INFINITY)]
        return inclusive ? Number(ts) >= from && Number(ts) <= to : Number(ts) > from && Number(ts) < to
      }
      const all = this.#workspace.messages.filter((message) => message.isIn(channel) && within(message)).reverse()
      const page = all.slice(Number(cursor), Number(cursor) + limit)
      const next = Number(cursor) + limit < all.length ? String(Number(cursor) + limit) : ''
      return {
        messages: page.map((message) => message.toJSON(include_all_metadata)),
        has_more: next !== '',
        response_metadata: { next_cursor: next },
      }
    },
    'chat.update': ({ channel, ts, ...content }) => {
      this.#checkFiles(content.blocks)
      this.#message(channel, ts).redraw(content)
      return { channel, ts }
    },
    'chat.delete': ({ channel, ts }) => {
      this.#message(channel, ts).isDeleted = true
      return { channel, ts }
    },
    'chat.postEphemeral': ({ channel, user, ...content }) => {
      const message = this.#workspace.addMessage(this.#writable(channel), content, user)
      return { message_ts: message.ts }
    },
    'views.open': ({ trigger_id, view }) => {
      const trigger = this.triggers.get(trigger_id)
      if (!trigger) throw this.#violation('invalid_trigger_id', trigger_id)
      if (trigger.isUsed) throw this.#violation('exchanged_trigger_id', trigger_id)
      trigger.isUsed = true
      this.modals.push({ trigger, view })
      return { view: { id: `V${this.#workspace.next()}` } }
    },
    'files.getUploadURLExternal': ({ filename, length }) => {
      const id = `F${String(this.#workspace.next()).padStart(8, '0')}`
      const state = { bytes: undefined, isComplete: false, isDeleted: false, polls: this.polls }
      this.#workspace.files.set(id, { id, name: filename, length, ...state })
      return { upload_url: `${this.origin}/upload/${id}`, file_id: id }
    },
    'files.completeUploadExternal': ({ files }) => {
      for (const { id } of files) {
        const file = this.#file(id)
        if (!file.bytes) throw this.#violation('file_not_found', `${id} was completed before it was uploaded`)
        file.isComplete = true
      }
      return { files: files.map(({ id, title }) => ({ id, title })) }
    },
    'files.info': ({ file }) => {
      const { id, name, polls } = this.#file(file)
      this.#file(file).polls = Math.max(0, polls - 1)
      return { file: { id, name, mimetype: polls === 0 ? 'image/png' : '' } }
    },
    'files.delete': ({ file }) => {
      this.#file(file).isDeleted = true
      return {}
    },
  }

  #readable(channel: string): Channel {
    // A user's id stands for the direct message with them.
    const found = this.#workspace.channels.get(channel) ?? this.#workspace.directs.get(channel)
    if (!found || (!found.hasBot && found.kind !== 'public')) throw new Refusal('channel_not_found')
    if (!found.hasBot) throw new Refusal('not_in_channel')
    return found
  }

  #writable(channel: string): Channel {
    const found = this.#readable(channel)
    if (found.isArchived) throw new Refusal('is_archived')
    return found
  }

  #message(channel: string, ts: string): Message {
    this.#writable(channel)
    const found = this.#workspace.find(channel, ts)
    if (!found) throw new Refusal('message_not_found')
    return found
  }

  #file(id: string): File {
    const file = this.#workspace.files.get(id)
    if (!file || file.isDeleted) throw new Refusal('file_not_found')
    return file
  }

  #checkFiles(blocks: Args<'chat.update'>['blocks']): void {
    for (const block of blocks) {
      if (block.type !== 'image') continue
      const file = this.#workspace.files.get(block.slack_file.id)
      if (!file?.isComplete || file.isDeleted) throw this.#violation('invalid_blocks', 'a file that is not there')
      if (file.polls > 0) throw this.#violation('invalid_blocks', 'a file that Slack has not looked at yet')
    }
  }

  async #upload(id: string, request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const headers = { 'content-type': request.headers['content-type'] ?? '' }
    const form = await new Response(new Uint8Array(body), { headers }).formData()
    const [part] = form.values()
    const file = this.#workspace.files.get(id)
    if (!file || !(part instanceof Blob)) return void response.writeHead(404).end()
    file.bytes = Buffer.from(await part.arrayBuffer())
    if (file.bytes.length !== file.length)
      this.violations.push(`${id} has ${file.bytes.length} bytes, not ${file.length}`)
    response.writeHead(200).end('OK')
  }

  /** A response URL: five messages in thirty minutes, or as many changes of the message that was clicked. */
  #respond(id: string, body: string, response: ServerResponse): void {
    const url = this.responseUrls.get(id)
    if (!url || url.left === 0) return void response.writeHead(404).end('used_url')
    const parsed = z.union([reply, change]).safeParse(JSON.parse(body))
    if (!parsed.success) {
      this.violations.push(`response_url: ${parsed.error.message}`)
      return void response.writeHead(400).end('invalid_payload')
    }
    url.left--
    const { data } = parsed
    if ('response_type' in data) {
      this.#workspace.addMessage(url.channel, { text: data.text, blocks: data.blocks, ...asTyped }, url.user)
    } else if (!url.clicked) {
      this.violations.push('response_url: there is no message to change')
    } else if ('delete_original' in data) url.clicked.isDeleted = true
    else url.clicked.redraw({ text: data.text, blocks: data.blocks, ...asTyped })
    response.writeHead(200).end('ok')
  }
}

const asTyped = { parse: 'none', link_names: false } as const
