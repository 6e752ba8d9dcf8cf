/** Makes Discord show text as it stands: no mention, link, heading, list, code or spoiler comes of what a person typed. */

const SPECIAL = /[\\*_~`|<>@#[\]():]/u
/** `- item`, `1. item`, `-# small`: these mean something at the start of a line only. */
const LINE_START = /^\d*[-+.]/u
const DIRECTION_CONTROLS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** One line of Markdown that reads as `text`, cut with an ellipsis to at most `limit` UTF-16 units. */
export function plainText(text: string, limit = Number.POSITIVE_INFINITY): string {
  const line = text.replace(DIRECTION_CONTROLS, '').replace(/\s+/gu, ' ').trim()
  const start = (LINE_START.exec(line)?.[0].length ?? 0) - 1
  const characters = [...line].map((character, index) =>
    index === start || SPECIAL.test(character) ? `\\${character}` : character,
  )
  return cut(characters, limit)
}

/** Joins what fits; never cuts a pair in two, neither a surrogate's nor a backslash and what it escapes. */
export function cut(characters: readonly string[], limit: number): string {
  let text = ''
  for (const [index, character] of characters.entries()) {
    const room = limit - text.length - character.length
    if (room < (index === characters.length - 1 ? 0 : 1)) return `${text}…`
    text += character
  }
  return text
}
