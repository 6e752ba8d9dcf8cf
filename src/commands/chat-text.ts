/** What a person typed in a chat, as a model may read it: names in place of the chat's own codes, and no links. */

import { UserError } from '../job/errors.ts'
import type { OptionValues } from './options.ts'

/** What chats put in place of emoji, people, channels, commands and times; what is caught is the name, if it carries one. */
const CODES: readonly RegExp[] = [
  // https://discord.com/developers/docs/reference#message-formatting
  /<a?:([^\s:<>]+):\d+>/gu,
  /<\/([^:<>]+):\d+>/gu,
  /<(?:@[!&]?\d+|#\d+|t:-?\d+(?::\w)?|id:[a-z-]+(?::\d+)?|sound:\d+:\d+)()>/gu,
  // https://docs.slack.dev/messaging/formatting-message-text#advanced
  /<(?:[@#]|!subteam\^)[A-Z0-9]+(?:\|([^<>]*))?>/gu,
  /<!(?:here|channel|everyone|date\^[^<>|]*)(?:\|([^<>]*))?>/gu,
  /<(?:mailto|tel):[^<>|]*\|([^<>]*)>/gu,
]

/** Where a link shows itself; looked for apart from its beginning, so that long lines cost no more than their length. */
const LINK =
  /[a-z0-9]:\/\/[^\s<>]|(?<![a-z0-9])www\.[^\s<>]|[a-z0-9]\.(?:ai|app|be|com|dev|gg|io|ly|me|net|org|tv)\/[^\s<>]/iu

/**
 * The prompts without a chat's codes, which would be drawn as numbers.
 * @throws UserError `option` for a link: whoever types one expects that it is followed
 */
export function readChatText(values: OptionValues): OptionValues {
  const { prompt, negative, ...others } = values
  return {
    ...others,
    ...(prompt !== undefined && { prompt: readable('prompt', String(prompt)) }),
    ...(negative !== undefined && { negative: readable('negative', String(negative)) }),
  }
}

function readable(name: string, text: string): string {
  const plain = CODES.reduce((rest, code) => rest.replace(code, (...found) => labelOf(found)), text)
  const at = LINK.exec(plain)?.index
  if (at === undefined) return plain === text ? text : plain.replace(/\s{2,}/gu, ' ')
  const before = /[^\s<>]{0,40}$/u.exec(plain.slice(Math.max(0, at - 40), at))![0]
  const link = /^[^\s<>]*/u.exec(before + plain.slice(at, at + 80))![0]
  const shown = link.length > 40 ? `${link.slice(0, 40)}…` : link
  throw new UserError(
    'option',
    `${name} holds a link, “${shown}”; pictures are drawn from words alone, so leave it out and describe what it shows.`,
  )
}

/** Of a match as `replace` gives it. */
function labelOf([, label]: readonly (string | undefined)[]): string {
  return label?.trim() ?? ''
}
