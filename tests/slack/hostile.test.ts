import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { messageOf, sentence } from '../../src/bot/slack/blocks.ts'
import { imagineModal } from '../../src/bot/slack/modal.ts'
import { viewOf } from '../../src/bot/view.ts'
import { imagineOptions, MAX_PROMPT_LENGTH } from '../../src/commands/options.ts'
import { parseRequest } from '../../src/commands/request.ts'
import type { Job } from '../../src/job/job.ts'
import { noiseOf } from '../../src/job/request.ts'
import { model } from '../fakes/engine.ts'
import { rung, unescaped } from '../fakes/slack/reading.ts'
import { methods } from '../fakes/slack/rules.ts'
import { test } from './garden.ts'

/** What is typed, and what is read of it. */
const HOSTILE: readonly (readonly [string, string])[] = [
  ['red <!channel> <!here|here> <!everyone>', 'red here'],
  ['<@U00000001> @here @channel #general', '@here @channel #general'],
  ['<!subteam^S123|@everyone>', '@everyone'],
  ['*bold* _italic_ ~gone~ `code` :apple: > quote', '*bold* _italic_ ~gone~ `code` :apple: > quote'],
  ['&lt;!channel&gt; & < >', '&lt;!channel&gt; & < >'],
  ['```\n<!channel> x\n```', '``` x ```'],
]

describe.concurrent('a prompt', () => {
  test.for(HOSTILE)('is shown as it was read and rings nobody: %s', async ([typed, read], { garden, alice }) => {
    await alice.types(`/imagine ${typed} --no ${typed}`)
    const message = await garden.slack.nextMessage()
    ;(await garden.call()).finish()
    await message.until(({ buttons }) => buttons.includes('🔄'))
    const { request } = await garden.jobOf(message)
    expect(request.prompt).toBe(read)
    expect(message.shown).toContain(`${request.prompt}\nwithout ${request.prompt}\n`)
    expect(message.rung).toEqual([])
    expect(message.links).toEqual([])
  })

  test('with links is refused, and the answer makes none of them', async ({ garden, alice }) => {
    await alice.types('/imagine <https://evil.example|click me> https://evil.example')
    const heard = await alice.hears()
    expect(heard.shown).toContain('prompt holds a link, “https://evil.example|click”')
    expect([heard.rung, heard.links, garden.slack.messages]).toEqual([[], [], []])
  })

  test('that breaks a rule is quoted as it was typed', async ({ garden, alice }) => {
    await alice.types('/imagine a cat --seed <!channel>')
    const heard = await alice.hears()
    expect(heard.shown).toContain('seed is “<!channel>”')
    expect(heard.rung).toEqual([])
    await alice.types(`/imagine ${'x'.repeat(10_000)}`)
    expect((await alice.hears()).shown).toContain(`${MAX_PROMPT_LENGTH} is the most`)
    expect(garden.slack.messages).toEqual([])
  })
})

describe('messages', () => {
  const job: Omit<Job, 'request'> = {
    id: '0123456789abcdef',
    state: 'done',
    action: 'imagine',
    author: { id: 'U1', name: 'alice' },
    place: { platform: 'slack', guild: 'T1', channel: 'C1' },
    createdAt: 0,
    startedAt: 0,
    finishedAt: 1000,
    attempts: 1,
    pictures: [],
  }
  const files = ['F1', 'F2', 'F3', 'F4']
  const long = (unit: string) => [...unit.repeat(MAX_PROMPT_LENGTH)].slice(0, MAX_PROMPT_LENGTH).join('')

  function posted(prompt: string, negative: string) {
    const request = parseRequest({ prompt, negative, count: 4 }, model, 128)
    const pictures = files.map((_, index) => ({
      ...noiseOf(request, index),
      index,
      width: 1,
      height: 1,
      bytes: 1,
      nsfw: false,
    }))
    const { text, blocks } = messageOf(viewOf({ ...job, request, pictures }, {}), files)
    return methods['chat.update'].args.parse({
      channel: 'C1',
      ts: '1700000000.000001',
      text,
      blocks: JSON.stringify(blocks),
    })
  }

  it('keep to all of Slack’s limits at their longest', () => {
    for (const unit of ['x', '"', '🍎', '\\', '字', '👩‍👩‍👧‍👦']) posted(long(unit), long(unit))
    expect(JSON.stringify(posted(long('x'), 'leaves').blocks)).toContain(long('x'))
  })

  it('keep to Slack’s rules and ring nobody, whatever was typed', () => {
    const typed = fc.string({ unit: 'binary', minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(typed, typed, (prompt, negative) => {
        fc.pre(parses(prompt))
        const { text, blocks } = posted(prompt, negative)
        expect(rung(text, blocks, { parse: 'none', link_names: false })).toEqual([])
        expect(text).not.toMatch(/[<>]/)
        expect(unescaped(sentence(prompt).text)).toBe(prompt)
      }),
      { numRuns: 50 },
    )
  })

  function parses(prompt: string): boolean {
    try {
      return parseRequest({ prompt }, model, 128).prompt !== ''
    } catch {
      return false
    }
  }
})

describe('the form', () => {
  it('keeps to Slack’s rules for big models too', () => {
    for (const size of [64, 512, 1024]) {
      const view = imagineModal(imagineOptions({ ...model, width: size, height: size }, 4096))
      expect(
        methods['views.open'].args.safeParse({ trigger_id: 't', view: JSON.stringify(view) }).error,
      ).toBeUndefined()
    }
  })
})
