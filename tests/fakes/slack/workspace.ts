/** A workspace as Slack keeps it: people, conversations, messages and files; every change can be awaited. */

import { EventEmitter, once } from 'node:events'
import { linked, rung, shown } from './reading.ts'
import type { Args } from './rules.ts'

/** Longer than anything takes on a busy machine. */
const PATIENCE_MS = 240_000

export interface Channel {
  readonly id: string
  readonly name: string
  readonly kind: 'public' | 'private' | 'direct'
  /** Whether the bot is in it. */
  hasBot: boolean
  isArchived: boolean
}

export interface User {
  readonly id: string
  readonly name: string
  /** Another one than the bot's in a Slack Connect channel. */
  readonly teamId: string
}

export interface File {
  readonly id: string
  readonly name: string
  readonly length: number
  bytes: Buffer | undefined
  isComplete: boolean
  isDeleted: boolean
  /** How many more times `files.info` is asked before it shows a mimetype. */
  polls: number
}

type Content = Pick<Args<'chat.update'>, 'text' | 'blocks' | 'parse' | 'link_names'> & {
  readonly metadata?: Args<'chat.update'>['metadata']
}

export class Message {
  readonly ts: string
  readonly channel: Channel
  /** An ephemeral message is one person's. */
  readonly onlyFor: string | undefined
  content: Content
  isDeleted = false
  /** How often it was drawn. */
  drawn = 1
  /** All that it ever rang. */
  readonly rung: string[] = []
  readonly #workspace: Workspace

  constructor(workspace: Workspace, channel: Channel, ts: string, content: Content, onlyFor?: string) {
    this.#workspace = workspace
    this.channel = channel
    this.ts = ts
    this.content = content
    this.onlyFor = onlyFor
    this.rung.push(...rung(content.text, content.blocks, content))
  }

  redraw(content: Content): void {
    // What an edit does not name stays.
    this.content = { ...content, metadata: content.metadata ?? this.content.metadata }
    this.drawn++
    this.rung.push(...rung(content.text, content.blocks, content))
  }

  /** Whether everybody in the channel can see it. */
  isIn(channel: string): boolean {
    return this.channel.id === channel && !this.isDeleted && this.onlyFor === undefined
  }

  /** As `conversations.history` gives it. */
  toJSON(withMetadata: boolean): object {
    const { id: bot_id, userId: user } = this.#workspace.bot
    const { text, blocks, metadata } = this.content
    return { type: 'message', ts: this.ts, bot_id, user, text, blocks, ...(withMetadata && metadata && { metadata }) }
  }

  /** What stands there, a line a block. */
  get shown(): string {
    return shown(this.content.blocks)
  }

  get links(): string[] {
    return linked(this.content.text, this.content.blocks)
  }

  /** The labels of its buttons, row by row. */
  get rows(): string[][] {
    return this.content.blocks.flatMap((block) =>
      block.type === 'actions' ? [block.elements.map(({ text }) => text.text)] : [],
    )
  }

  get buttons(): string[] {
    return this.rows.flat()
  }

  /** The files that it shows. */
  get pictures(): File[] {
    return this.content.blocks.flatMap((block) =>
      block.type === 'image' ? [this.#workspace.files.get(block.slack_file.id)!] : [],
    )
  }

  button(label: string): { readonly action_id: string; readonly value?: string | undefined } {
    const buttons = this.content.blocks.flatMap((block) => (block.type === 'actions' ? block.elements : []))
    const found = buttons.find(({ text }) => text.text === label)
    if (!found) throw new Error(`there is no button ${label} among ${this.buttons.join(' ')}`)
    return found
  }

  /** Resolves when the message is as asked for. */
  async until(asked: (message: Message) => boolean): Promise<this> {
    await this.#workspace.until(
      () => asked(this) || undefined,
      () => `a message that reads:\n${this.shown}`,
    )
    return this
  }
}

export class Workspace {
  readonly team = { id: 'T0SEEDLING', domain: 'garden' }
  readonly bot = { id: 'B0SEEDLING', userId: 'U0SEEDLING', name: 'seedling', appId: 'A0SEEDLING' }
  readonly users = new Map<string, User>()
  readonly channels = new Map<string, Channel>()
  /** By user: the direct message with the bot. */
  readonly directs = new Map<string, Channel>()
  readonly messages: Message[] = []
  readonly files = new Map<string, File>()
  readonly #changes = new EventEmitter()
  #counter = 0

  /** Numbers that never come twice. */
  next(): number {
    return ++this.#counter
  }

  addChannel(name: string, kind: Channel['kind'], hasBot: boolean): Channel {
    const id = `${{ public: 'C', private: 'G', direct: 'D' }[kind]}${String(this.next()).padStart(8, '0')}`
    const channel = { id, name, kind, hasBot, isArchived: false }
    this.channels.set(id, channel)
    return channel
  }

  addMessage(channel: Channel, content: Content, onlyFor?: string): Message {
    const ts = `${Math.floor(Date.now() / 1000)}.${String(this.next()).padStart(6, '0')}`
    const message = new Message(this, channel, ts, content, onlyFor)
    this.messages.push(message)
    this.changed()
    return message
  }

  find(channel: string, ts: string): Message | undefined {
    return this.messages.find((message) => message.isIn(channel) && message.ts === ts)
  }

  changed(): void {
    this.#changes.emit('change')
  }

  /** Resolves with what `find` gives, as soon as it gives something. */
  async until<T>(find: () => T | undefined, what: () => string): Promise<T> {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      try {
        await once(this.#changes, 'change', { signal })
      } catch (error) {
        throw new Error(`waited in vain for ${what()}`, { cause: error })
      }
    }
  }
}
