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
import { formatActionId } from '../../commands/actions.ts'
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
const SHOW = { action: 'show', label: 'Show result', description: 'Show what became of it' } as const

type Row = APIActionRowComponent<APIComponentInMessageActionRow>

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

/** The same, saying how to fetch what this message will not be able to show, with a button for it. */
export function withFetchHint({ body, files }: Message, job: string): Message {
  const show: ViewAction = { id: formatActionId({ action: 'show', index: 0, job }), ...SHOW }
  const hint = `\n-# Discord lets this message change for a quarter of an hour only; then “${SHOW.label}”, or /show ${job}, brings what became of it.`
  const rows = (body.components ?? []) as Row[]
  const [row] = rows
  const components = [{ ...row!, components: [buttonOf(show), ...(row?.components ?? [])] }, ...rows.slice(1)]
  return {
    body: { ...body, content: `${body.content?.slice(0, CONTENT_LIMIT - hint.length)}${hint}`, components },
    files,
  }
}

/** A sentence that only the person who asked sees; `line` is what they typed, to be copied and mended. */
export function sentenceMessage(sentence: string, line?: string) {
  const block = line === undefined || line.includes('```') ? '' : `\n\`\`\`\n${line}\n\`\`\``
  const text = plainText(sentence, CONTENT_LIMIT)
  const content = text.length + block.length > CONTENT_LIMIT ? text : `${text}${block}`
  return { content, ...QUIET, flags: MessageFlags.Ephemeral } as const
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
  if (view.prompt === '') return rest
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
function rowsOf(actions: readonly ViewAction[]): Row[] {
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
