import { parse } from 'discord-markdown-parser'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { plainText } from '../../src/bot/discord/markdown.ts'

const PIECES = ['@everyone', '<@1>', '<#1>', '[a](https://b.c)', '```', '`', '**', '__', '~~', '||', '# ', '-# ', '- ']
const MORE = [
  '> ',
  '>>> ',
  '1. ',
  '* ',
  '\\',
  ':a:',
  '<:a:1>',
  '<t:1>',
  '</a:1>',
  '<id:guide>',
  'https://a.b',
  '\n',
  ' ',
]
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...PIECES, ...MORE), fc.string({ unit: 'grapheme' })))
  .map((a) => a.join(''))

it('reads as what was typed, whatever that was', () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const line = text
        .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')
        .replace(/\s+/gu, ' ')
        .trim()
      const nodes = parse(`> ${plainText(text)}`, 'normal')
      expect(nodes.map(textOf).join('')).toBe(line)
    }),
    { numRuns: 500 },
  )
})

it('is cut between characters, within the limit', () => {
  fc.assert(
    fc.property(hostile, fc.integer({ min: 1, max: 60 }), (text, limit) => {
      const [cut, whole] = [plainText(text, limit), plainText(text)]
      expect(cut.length).toBeLessThanOrEqual(limit)
      expect(cut.isWellFormed()).toBe(whole.isWellFormed())
      if (whole.length <= limit) expect(cut).toBe(whole)
      else expect(whole.startsWith(cut.slice(0, -1)) && !/(?<!\\)(\\\\)*\\…$/.test(cut)).toBe(true)
    }),
  )
})

// biome-ignore lint/suspicious/noExplicitAny: the parser's nodes
function textOf({ type, content, name }: any): string {
  if (type === 'text') return content
  if (type === 'twemoji') return name
  return type === 'blockQuote' ? content.map(textOf).join('') : `[${type}]`
}
