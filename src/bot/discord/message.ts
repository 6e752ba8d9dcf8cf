/** A view as a Discord message: plain content, attachments with alt text, rows of buttons. */

import {
  type APIActionRowComponent,
  type APIButtonComponentWithCustomId,
  type APIComponentInMessageActionRow,
  ButtonStyle,
  ComponentType,
  MessageFlags,
  type RESTPatchAPIChannelMessageJSONBody,
} from 'discord.js'
import type { View, ViewAction } from '../view.ts'
import type { Attachment } from './attachments.ts'
import { plainText } from './markdown.ts'

/** What is sent, in one form for replies, posts and edits alike. */
export interface Message {
  readonly body: RESTPatchAPIChannelMessageJSONBody & { flags: MessageFlags }
  readonly files: readonly Attachment[]
}

const CONTENT_LIMIT = 2000
const PROMPT_LIMIT = 1000
const BUTTONS_IN_A_ROW = 5
const BAR_LENGTH = 20

/**
 * `body.attachments` lists every file: an edit drops what it does not list, so results replace the preview.
 * @param notes what to say of the files, where it is not plain from them
 */
export function messageOf(view: View, files: readonly Attachment[], notes?: readonly string[]): Message {
  const attachments = files.map(({ name, description }, index) => ({ id: String(index), filename: name, description }))
  return {
    body: {
      content: contentOf(view, notes ?? notesOn(view, files)),
      components: rowsOf(view.actions),
      attachments,
      ...QUIET,
      flags: MessageFlags.SuppressEmbeds,
    },
    files,
  }
}

/** A sentence that only the person who asked sees. */
export function sentenceMessage(sentence: string) {
  return { content: plainText(sentence, CONTENT_LIMIT), ...QUIET, flags: MessageFlags.Ephemeral } as const
}

/** Nobody is ever notified, whatever a text says. */
const QUIET = { allowed_mentions: { parse: [] } }

function contentOf(view: View, notes: readonly string[]): string {
  const { authorName, status, fraction, negativePrompt, parameters } = view
  const rest = [
    // Isolated, so that a name written from right to left cannot turn the line around.
    `**\u2068${plainText(authorName, 100)}\u2069** · ${plainText(status, 400)}`,
    ...(fraction === undefined ? [] : [bar(fraction)]),
    ...(negativePrompt === '' ? [] : [`-# without ${plainText(negativePrompt, 300)}`]),
    `-# ${plainText(parameters.map(({ name, value }) => `${name} ${value}`).join(' · '), 600)}`,
    ...notes.map((note) => `-# ${note}`),
  ].join('\n')
  const room = CONTENT_LIMIT - rest.length - '> \n'.length
  return `> ${plainText(view.prompt, Math.min(PROMPT_LIMIT, room))}\n${rest}`
}

function bar(fraction: number): string {
  const full = Math.round(fraction * BAR_LENGTH)
  return '▰'.repeat(full) + '▱'.repeat(BAR_LENGTH - full)
}

function notesOn(view: View, files: readonly Attachment[]): string[] {
  const smaller = files.some(({ contentType }) => contentType === 'image/webp')
  const missing = view.state === 'done' && files.length === 0
  return [
    ...(smaller ? ['Shown as WebP: the PNG is larger than Discord takes here.'] : []),
    ...(missing ? ['The pictures are not kept any more; 🔄 draws new ones.'] : []),
  ]
}

/** One row where all fit; otherwise what enlarges begins the second, so that V1 stands above U1. */
function rowsOf(actions: readonly ViewAction[]): APIActionRowComponent<APIComponentInMessageActionRow>[] {
  const second = actions.findIndex(({ action }) => action === 'upscale')
  const split = actions.length <= BUTTONS_IN_A_ROW || second < 0 ? actions.length : second
  return [actions.slice(0, split), actions.slice(split)]
    .filter((row) => row.length > 0)
    .map((row) => ({ type: ComponentType.ActionRow, components: row.map(buttonOf) }))
}

function buttonOf({ id, action, label }: ViewAction): APIButtonComponentWithCustomId {
  const style = action === 'cancel' || action === 'delete' ? ButtonStyle.Danger : ButtonStyle.Secondary
  return { type: ComponentType.Button, style, label, custom_id: id }
}
