import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJobName, parseLine, requireJobName } from '../../src/commands/words.ts'

const ID = '0123456789abcdef'

describe('parseLine', () => {
  it.each(['help', 'Help', 'HELP!', '?', '??', '--help'])('%s asks for help', (text) => {
    expect(parseLine(` ${text} `)).toEqual({ word: 'help' })
  })

  it.each(['queue', 'Queue', 'queue?'])('%s asks for the queue', (text) => {
    expect(parseLine(text)).toEqual({ word: 'queue' })
  })

  it.each(['help me find a cat', 'queue of penguins', 'show me a cat', 'show', '? as a neon sign'])(
    '%s is a prompt',
    (text) => {
      expect(parseLine(text)).toEqual({ word: 'draw' })
    },
  )

  it('opens the form for nothing, and shows a job by any of its names', () => {
    expect(parseLine('  ')).toEqual({ word: 'form' })
    expect(parseLine(`SHOW #${ID.toUpperCase()}`)).toEqual({ word: 'show', job: { id: ID } })
  })

  it('never fails', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseLine(text)))
  })
})

describe('parseJobName', () => {
  it.each([
    ID,
    ID.toUpperCase(),
    `#${ID}`,
    `job ${ID}`,
    `\`${ID}\``,
    `“${ID}”.`,
    `seedling-${ID}-1.png`,
    `seedling-${ID}-4 (2).webp`,
    `seedling-${ID}.png`,
  ])('reads %s', (text) => {
    expect(parseJobName(text)).toEqual({ id: ID })
  })

  it.each([
    ['https://discord.com/channels/1/22/333', { channel: '22', message: '333' }],
    ['<https://ptb.discord.com/channels/@me/22/333>', { channel: '22', message: '333' }],
    ['https://garden.slack.com/archives/C012AB/p1700000000000100', { channel: 'C012AB', message: '1700000000.000100' }],
    ['<https://a.slack.com/archives/D1/p1700000000000100?cid=D1|x>', { channel: 'D1', message: '1700000000.000100' }],
  ])('reads the link %s', (text, link) => {
    expect(parseJobName(text)).toEqual({ link })
  })

  it.each(['', 'the last one', `${ID}0`, 'https://evil.example/channels/1/2/3', '../../etc/passwd'])(
    'does not take %s for one',
    (text) => {
      expect(parseJobName(text)).toBeUndefined()
      expect(() => requireJobName(text)).toThrow(/^job is “.*”; it must be the number under its pictures/)
    },
  )
})
