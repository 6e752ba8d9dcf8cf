/** What people see and hear of a message: its words, and whoever it rings. */

import type { Args, MessageBlock } from './rules.ts'

/** Blocks as text: one line each. */
export function shown(blocks: readonly MessageBlock[]): string {
  return blocks.map(lineOf).join('\n')
}

/** Who would be notified: `@channel`, `@U123`. */
export function rung(
  text: string,
  blocks: readonly MessageBlock[],
  { parse, link_names }: Pick<Args<'chat.update'>, 'parse' | 'link_names'>,
): string[] {
  const read = [text, ...blocks.flatMap(mrkdwnOf)].flatMap((mrkdwn) => mentions(mrkdwn, parse === 'full' || link_names))
  return [...read, ...blocks.flatMap(mentionElements)]
}

/** What Slack makes links of, in text and blocks. */
export function linked(text: string, blocks: readonly MessageBlock[]): string[] {
  const written = [text, ...blocks.flatMap(mrkdwnOf)].flatMap((mrkdwn) => mrkdwn.match(/<https?:[^>]+>/g) ?? [])
  const elements = blocks.flatMap((block) =>
    block.type === 'rich_text' ? block.elements.flatMap(({ elements }) => elements) : [],
  )
  return [...written, ...elements.flatMap((element) => (element.type === 'link' ? element.url : []))]
}

/** Text with Slack's three entities read. */
export function unescaped(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

function lineOf(block: MessageBlock): string {
  switch (block.type) {
    case 'rich_text':
      return block.elements
        .map(({ elements }) =>
          elements.map((element) => (element.type === 'text' ? element.text : `<${element.type}>`)).join(''),
        )
        .join('\n')
    case 'context':
      return block.elements.map(({ type, text }) => (type === 'mrkdwn' ? unescaped(text) : text)).join(' ')
    case 'section':
      return block.text.type === 'mrkdwn' ? unescaped(block.text.text) : block.text.text
    case 'image':
      return `[${block.title?.text ?? 'image'}: ${block.alt_text}]`
    case 'actions':
      return block.elements.map(({ text }) => `(${text.text})`).join(' ')
    case 'divider':
      return '---'
  }
}

function mrkdwnOf(block: MessageBlock): string[] {
  const texts = block.type === 'context' ? block.elements : block.type === 'section' ? [block.text] : []
  return texts.filter(({ type }) => type === 'mrkdwn').map(({ text }) => text)
}

function mentions(mrkdwn: string, names: boolean): string[] {
  const written = mrkdwn.match(/<(?:!(?:channel|here|everyone|subteam)|@[UW])[^>]*>/g) ?? []
  return names ? [...written, ...(mrkdwn.match(/@\w+/g) ?? [])] : written
}

function mentionElements(block: MessageBlock): string[] {
  if (block.type !== 'rich_text') return []
  return block.elements
    .flatMap(({ elements }) => elements)
    .flatMap((element) => {
      if (element.type === 'user') return [`@${element.user_id}`]
      return element.type === 'broadcast' ? [`@${element.range}`] : []
    })
}
