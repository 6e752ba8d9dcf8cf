/** A message as people in the fake Discord see it, with its past, and with a way to wait for what it will become. */

import { EventEmitter, once } from 'node:events'
import { parse } from 'discord-markdown-parser'
import type { Body, UploadedFile } from './contract.ts'

/** Longer than anything takes on a busy machine. */
const PATIENCE_MS = 240_000

export interface FakeAttachment extends UploadedFile {
  readonly id: string
  readonly description: string | undefined
}

export class FakeMessage {
  readonly id: string
  readonly channel: string
  /** The Discord message type: 0 posted by the bot, 20 an answer to a command. */
  readonly type: number
  content = ''
  components: Body[] = []
  attachments: FakeAttachment[] = []
  flags = 0
  deleted = false
  /** Announced by the bot (“is thinking…”), but not there yet. */
  loading = false
  /** Every content that it ever had, oldest first. */
  readonly contents: string[] = []
  /** How often the bot edited it. */
  edits = 0
  readonly #changes = new EventEmitter().setMaxListeners(0)

  constructor(id: string, channel: string, type: number) {
    this.id = id
    this.channel = channel
    this.type = type
  }

  /** Only the member whose interaction it answers sees it. */
  get ephemeral(): boolean {
    return (this.flags & 64) !== 0
  }

  /** The labels of its buttons, row by row. */
  get buttons(): string[][] {
    return this.components.map(({ components }) => components.map(({ label }: Body) => label))
  }

  /** The content as a Discord client shows it; what is no text, such as a mention, as `[user]`. */
  get text(): string {
    return parse(this.content, 'normal')
      .map(shown)
      .join('')
      .replace(/[\u2068\u2069]/g, '')
  }

  /** What stands in blocks of code, to be copied. */
  get codes(): string[] {
    return parse(this.content, 'normal').flatMap(({ type, content }: Body) => (type === 'codeBlock' ? [content] : []))
  }

  customId(label: string): string {
    const button = this.components.flatMap(({ components }) => components).find((button) => button.label === label)
    if (!button) throw new Error(`There is no button ${label}, only ${JSON.stringify(this.buttons)}`)
    return button.custom_id
  }

  /** Resolves when the message is as described: a pattern of its text, or a condition. */
  async until(described: RegExp | ((message: FakeMessage) => boolean)): Promise<this> {
    const holds = typeof described === 'function' ? described : ({ text }: FakeMessage) => described.test(text)
    const signal = AbortSignal.timeout(PATIENCE_MS)
    while (!holds(this)) {
      await once(this.#changes, 'change', { signal }).catch(() => {
        throw new Error(`Waited for ${described}; it is ${this.describe()}`)
      })
    }
    return this
  }

  /** What the bot sent takes the place of what was there. */
  set(body: Body, files: readonly UploadedFile[]): void {
    if (body.content !== undefined) this.content = body.content ?? ''
    if (body.components !== undefined) this.components = body.components ?? []
    if (body.flags !== undefined) this.flags = (this.flags & 64) | body.flags
    this.attachments = (body.attachments ?? []).flatMap((listed: Body) => {
      const kept = this.attachments.find(({ id }) => id === listed.id)
      const file = files[Number(listed.id)]
      if (file) return [{ ...file, id: `${this.id}${this.edits}${listed.id}`, description: listed.description }]
      return kept ? [kept] : []
    })
    this.loading = false
    this.contents.push(this.content)
    this.#changes.emit('change')
  }

  /** Somebody who may do so deletes it. */
  delete(): void {
    this.deleted = true
    this.#changes.emit('change')
  }

  describe(): string {
    const { deleted, loading, text, buttons } = this
    return JSON.stringify({ deleted, loading, text, buttons, files: this.attachments.map(({ name }) => name) })
  }

  /** As Discord's API gives it. */
  toJSON(author: Body): Body {
    return {
      id: this.id,
      channel_id: this.channel,
      type: this.type,
      author,
      content: this.content,
      components: this.components,
      attachments: this.attachments.map(({ id, name, type, data, description }) => ({
        id,
        filename: name,
        content_type: type,
        size: data.length,
        description,
        url: `https://cdn.invalid/${id}/${name}`,
        proxy_url: `https://media.invalid/${id}/${name}`,
      })),
      embeds: [],
      flags: this.flags,
      timestamp: new Date(0).toISOString(),
      edited_timestamp: null,
      mentions: [],
      mention_roles: [],
      mention_everyone: false,
      pinned: false,
      tts: false,
    }
  }
}

const STYLES = ['blockQuote', 'strong']

/** Only the styles that Seedling uses itself are as good as text. */
function shown({ type, content, name }: Body): string {
  if (type === 'text') return content
  if (type === 'twemoji') return name
  if (type === 'br' || type === 'newline') return '\n'
  if (type === 'subtext') return `${content.map(shown).join('')}\n`
  return STYLES.includes(type) ? content.map(shown).join('') : `[${type}]`
}
