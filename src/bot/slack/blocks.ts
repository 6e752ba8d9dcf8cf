/**
 * A job's view as Slack draws it, and sentences for one person.
 *
 * What somebody typed stands in `rich_text` or `plain_text` alone, where Slack reads no mentions, links or mrkdwn; the
 * fallback text, which it does read, is escaped.
 */

import type { types } from '@slack/bolt'
import type { View, ViewAction } from '../view.ts'

export interface Message {
  /** For notifications, and where blocks cannot be drawn. */
  readonly text: string
  readonly blocks: types.KnownBlock[]
}

/** Slack takes about 13,200 characters of blocks in a message; these leave room for buttons and structure. */
const MAX_PROMPT = 4000
const MAX_NEGATIVE = 2000
const MAX_ALT_IN_ALL = 2000
const MAX_FALLBACK = 300
const MAX_CODE = 8000
const BAR_LENGTH = 12
const MAX_BUTTONS_IN_A_ROW = 5

/** `files` are the ids of the uploaded pictures, in order; without them the view is drawn without pictures. */
export function messageOf(view: View, files: readonly string[] = []): Message {
  return {
    text: escapeText(
      shorten(`${view.authorName}: ${[view.prompt, view.status].filter(Boolean).join(' · ')}`, MAX_FALLBACK),
    ),
    blocks: [
      richText(...(view.prompt === '' ? [] : [promptOf(view)]), statusOf(view)),
      { type: 'context', elements: [plainText(shorten(detailsOf(view), MAX_NEGATIVE))] },
      ...files.map((file, index) => imageOf(view, index, file)),
      ...rowsOf(view.actions).map(actionsOf),
    ],
  }
}

/** What one person is told, word for word. */
export function sentence(text: string): Message {
  return { text: escapeText(text), blocks: [richText(section(text))] }
}

/** A sentence with something to copy below it, unless that is longer than a message may be. */
export function sentenceWithCode(text: string, code: string): Message {
  if (jsonLength(code) > MAX_CODE) return sentence(text)
  return {
    text: escapeText(text),
    blocks: [richText(section(text), { type: 'rich_text_preformatted', elements: [{ type: 'text', text: code }] })],
  }
}

/** https://docs.slack.dev/messaging/formatting-message-text#escaping */
export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** What a person typed, out of a text that Slack escaped. */
export function unescapeText(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

/** Emoji names (`:apple:`) stay as they were typed. */
export function plainText(text: string): types.PlainTextElement {
  return { type: 'plain_text', text, emoji: false }
}

/** At most `max` characters as JSON counts them, since that is how the message will travel. */
export function shorten(text: string, max: number): string {
  if (jsonLength(text) <= max) return text
  let length = 1
  let end = 0
  for (const character of text) {
    length += jsonLength(character)
    if (length > max) break
    end += character.length
  }
  return `${text.slice(0, end)}…`
}

function jsonLength(text: string): number {
  return JSON.stringify(text).length - 2
}

function richText(...elements: types.RichTextBlockElement[]): types.RichTextBlock {
  return { type: 'rich_text', elements }
}

function section(text: string, style: types.RichTextText['style'] = {}): types.RichTextSection {
  return { type: 'rich_text_section', elements: [{ type: 'text', text, style }] }
}

function promptOf({ prompt, negativePrompt }: View): types.RichTextSection {
  const without: types.RichTextText[] = negativePrompt
    ? [
        { type: 'text', text: '\nwithout ', style: { italic: true } },
        { type: 'text', text: shorten(negativePrompt, MAX_NEGATIVE) },
      ]
    : []
  const text: types.RichTextText = { type: 'text', text: shorten(prompt, MAX_PROMPT), style: { bold: true } }
  return { type: 'rich_text_section', elements: [text, ...without] }
}

/** No preview: Slack would keep a file of each for ever. */
function statusOf({ fraction, status }: View): types.RichTextSection {
  return section(fraction === undefined ? status : `${barOf(fraction)}  ${status}`)
}

function barOf(fraction: number): string {
  const full = Math.floor(Math.min(1, Math.max(0, fraction)) * BAR_LENGTH)
  return '▰'.repeat(full) + '▱'.repeat(BAR_LENGTH - full)
}

/** A name in words: a mention would ring. */
function detailsOf({ authorName, parameters }: View): string {
  return [authorName, ...parameters.map(({ name, value }) => `${name} ${value}`)].join(' · ')
}

function imageOf({ pictures }: View, index: number, file: string): types.ImageBlock {
  return {
    type: 'image',
    slack_file: { id: file },
    alt_text: shorten(pictures[index]!.alt, Math.floor(MAX_ALT_IN_ALL / pictures.length)),
    ...(pictures.length > 1 && { title: plainText(String(index + 1)) }),
  }
}

/** One row while five fit; otherwise variations above, upscales below. */
function rowsOf(actions: readonly ViewAction[]): (readonly ViewAction[])[] {
  if (actions.length === 0) return []
  if (actions.length <= MAX_BUTTONS_IN_A_ROW) return [actions]
  const half = actions.findIndex(({ action }) => action === 'upscale')
  return [actions.slice(0, half), actions.slice(half)]
}

function actionsOf(row: readonly ViewAction[]): types.ActionsBlock {
  return {
    type: 'actions',
    elements: row.map(({ id, label, description }) => ({
      type: 'button',
      action_id: id,
      text: { type: 'plain_text', text: label, emoji: true },
      accessibility_label: description,
    })),
  }
}
