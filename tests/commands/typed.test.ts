/** What people really type: other keyboards' dashes, other bots' flags, a chat's own codes, links and nothing to be seen. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Context } from '../../src/commands/access.ts'
import { Commands } from '../../src/commands/commands.ts'
import { UserError } from '../../src/job/errors.ts'
import type { Job } from '../../src/job/job.ts'
import type { Request } from '../../src/job/request.ts'
import type { JobQueue } from '../../src/queue/queue.ts'
import { catalog, model } from '../fakes/engine.ts'

const queue = { add: async (job: Job) => job } as unknown as JobQueue
const commands = new Commands(queue, { model, catalog }, { variationStrength: 0.25, maxSize: 128 })
const context: Context = {
  author: { id: '1', name: 'Alice' },
  place: { platform: 'discord', guild: '2', channel: '3' },
}

/** What is drawn of a line. */
async function drawn(line: string): Promise<Request> {
  return (await commands.imagine(commands.parse(line), context)).request
}

/** The sentence in place of a picture. */
async function refusal(line: string): Promise<string> {
  const error = await drawn(line).then(
    ({ prompt }) => new Error(`“${prompt}” was drawn`),
    (error: Error) => error,
  )
  if (!(error instanceof UserError)) throw error
  return error.message
}

describe("another keyboard's dashes", () => {
  it.each([
    ['a cat –seed 7'],
    ['a cat ——seed 7'],
    ['a cat -seed 7'],
    ['a cat —seed 7'],
    ['a cat ––seed 7'],
    ['a cat −−seed 7'],
    ['a cat −seed=7'],
    ['a cat ‑‑seed 7'],
    ['a cat －－seed 7'],
    ['a cat ⸺seed 7'],
    ['a cat ˗˗seed 7'],
    ['a cat ➖➖seed 7'],
    ['a cat ──seed 7'],
    ['a cat --\u200bseed 7'],
    ['a cat -\u200b-seed 7'],
    ['a cat --\u202eseed 7'],
    ['a cat —-seed 7'],
    ['a cat ---seed 7'],
    ['a cat -Seed 7'],
    ['a cat -- seed 7'],
    ['a cat\u00a0–seed\u00a07'],
    ['a cat--seed 7'],
    ['a cat--seed=7'],
    ['a cat\n--seed 7'],
  ])('%s has the seed 7', async (line) => {
    expect(await drawn(line)).toMatchObject({ prompt: 'a cat', seed: 7 })
  })

  it('stand for a flag wherever an option has that name', async () => {
    expect(await drawn('a cat -no dogs –ar 16:9 —count 2')).toMatchObject({
      prompt: 'a cat',
      negativePrompt: 'dogs',
      width: 88,
      numImagesPerPrompt: 2,
    })
    expect(await drawn('a cat -n 2')).toMatchObject({ prompt: 'a cat', numImagesPerPrompt: 2 })
  })

  it.each([
    'a well-lit room -- and 1--2 – room',
    'a half-timbered house',
    'a cat – seen from above',
    'a cat -ish thing, 3 -4 years old',
    'rock -n- roll',
    'a fast car –fast as the wind',
    '一只猫 ——红色',
    'a size-2 hat, pre-seed',
    'a cat--no, a dog',
    'a street—no people',
  ])('are left alone in “%s”', async (line) => {
    expect((await drawn(line)).prompt).toBe(line)
  })

  it('may stand right behind a comma', async () => {
    expect(await drawn('a cat,--no dogs.--ar 16:9')).toMatchObject({
      prompt: 'a cat,',
      negativePrompt: 'dogs.',
      width: 88,
    })
  })

  it('inside a quoted value are no flags', async () => {
    expect(await drawn('a cat --no "a dog –seed 3" –seed 4')).toMatchObject({
      negativePrompt: 'a dog –seed 3',
      seed: 4,
    })
  })

  it('never get past a flag that every keyboard types the same', async () => {
    const dashes = fc.constantFrom('--', '—', '——', '–', '––', '-', '−−')
    const flag = fc.constantFrom('seed', 'steps')
    await fc.assert(
      fc.asyncProperty(dashes, flag, fc.integer({ min: 1, max: 100 }), async (dash, name, value) => {
        expect(await drawn(`a cat ${dash}${name} ${value}`)).toEqual({
          ...(await drawn(`a cat --${name} ${value}`)),
          ...(name === 'steps' && { seed: expect.any(Number) }),
        })
      }),
    )
  })
})

describe('flags that there are not', () => {
  it.each([
    ['--v 6', '--v', 'the operator'],
    ['--q 2', '--q', '--steps'],
    ['--s 250', '--s', '--guidance'],
    ['--stylize 250', '--stylize', '--guidance'],
    ['--tile', '--tile', 'tile'],
    ['--chaos 20', '--chaos', '--count'],
    ['--niji 6', '--niji', 'the operator'],
    ['--sref 123', '--sref', 'words'],
    ['--cref x', '--cref', 'words'],
    ['--iw 2', '--iw', 'words'],
    ['--weird 50', '--weird', '--guidance'],
    ['--style raw', '--style', 'prompt'],
    ['--stop 80', '--stop', '--steps'],
    ['--video', '--video', 'still'],
    ['--repeat 4', '--repeat', '--count'],
    ['--fast', '--fast', 'turns'],
    ['--relax', '--relax', 'turns'],
    ['-v 6', '--v', 'the operator'],
    ['—tile', '--tile', 'tile'],
    ['–niji 5', '--niji', 'the operator'],
    ['--width 64', '--width', '--size'],
    ['--cfg_scale 7', '--cfg_scale', '--guidance'],
  ])('%s is named, with what there is instead', async (flags, name, instead) => {
    const sentence = await refusal(`a cat ${flags}`)
    expect(sentence).toContain(name)
    expect(/^--\S+ is not an option \((.*)\); use /.exec(sentence)![1]).toContain(instead)
  })

  it('are all named at once', async () => {
    expect(await refusal('a cat --v 6 --stlye noir --seed 7 --tile')).toBe(
      '--v (the model is the one that the operator chose), --stlye and --tile (pictures are not made to tile) are no options; ' +
        'use --negative, --seed, --steps, --guidance, --size, --aspect, --count, --transparent or --clip-skip.',
    )
    expect((await refusal(`a cat${' --flag'.repeat(200)}`)).length).toBeLessThan(200)
    expect((await refusal(`a cat${[...'abcdefgh'].map((c) => ` --${c.repeat(3000)}`)}`)).length).toBeLessThan(600)
  })

  it.each([
    ['--sede 7', '--seed'],
    ['--step 7', '--steps'],
    ['--cont 2', '--count'],
    ['--asepct 1:1', '--aspect'],
    ['--seed: 7', '--seed'],
  ])('%s is answered with the nearest', async (flags, nearest) => {
    expect(await refusal(`a cat ${flags}`)).toContain(`did you mean ${nearest}?`)
  })

  it.each(['--4k', '--2 7', '--_x 7', '(--v 6)', '_--v 6_'])('%s does not pass unread', async (flag) => {
    expect(await refusal(`a cat ${flag}`)).toMatch(/^--\S+ is not an option/)
  })

  it('are named in other alphabets too', async () => {
    expect(await refusal('кот --сид 7')).toMatch(/^--сид is not an option/)
  })
})

describe("a chat's own codes", () => {
  it.each([
    ['a <:fox:123456789012345678> in the snow', 'a fox in the snow'],
    ['a <a:party_fox:1234> dances', 'a party_fox dances'],
    ['(<:fox:1234>:1.3), red', '(fox:1.3), red'],
    ['a cat for <@123456789012345678>', 'a cat for'],
    ['a cat <@!123> and <@&456> in <#789> at <t:1700000000:R>', 'a cat and in at'],
    ['what </imagine:123> draws in <id:customize>', 'what imagine draws in'],
    ['a cat for <@U0123ABC|alice> in <#C0123ABC|garden>', 'a cat for alice in garden'],
    ['a cat for <@U0123ABC> <!subteam^S01|@friends> <!here>', 'a cat for @friends'],
    ['a cat <id:linked-roles:12> and <sound:1:2> <tel:+1|call>', 'a cat and call'],
    ['a <3 >:) a<b>c', 'a <3 >:) a<b>c'],
  ])('%s is drawn as “%s”', async (line, prompt) => {
    expect((await drawn(line)).prompt).toBe(prompt)
  })

  it('are read in what to keep out too, and alone are nothing', async () => {
    expect(await drawn('a cat --no <:dog:123>, <@456>')).toMatchObject({ negativePrompt: 'dog,' })
    expect(await refusal('<@123456789012345678>')).toMatch(/^prompt is empty/)
  })
})

describe('a link', () => {
  it.each([
    'https://example.com/cat.png as a painting',
    'a cat like <https://example.com/cat.png>',
    'a cat like <https://example.com|this one>',
    'HTTP://EXAMPLE.COM a cat',
    'a cat www.example.com',
    'discord.gg/abc a cat',
    'a cat data://x file:///etc/passwd',
    'a cat --no https://example.com/dog.png',
  ])('in “%s” is refused in words', async (line) => {
    expect(await refusal(line)).toMatch(/^(prompt|negative) holds a link, “.*”; pictures are drawn from words alone/)
  })

  it.each(['a black and/or white cat, f/1.8, 3.5/5', 'a node.js mug: great', 'a cat (red:1.3) // fluffy', 'cat:dog'])(
    'is not seen in “%s”',
    async (line) => {
      expect((await drawn(line)).prompt).toBe(line)
    },
  )
})

describe('nothing to be seen', () => {
  it.each([
    '\u200b',
    '\u200b \u200d\u200c',
    '\u2060\ufeff',
    '\u00ad',
    '\u3164\uffa0',
    '\u2800',
    '\u180e\u034f',
    '\u{e0041}\u{e0042}',
    '\ufe0f',
    '\u0301',
    '\u2063\u061c\u200e',
  ])('%j is an empty prompt', async (line) => {
    expect(await refusal(line)).toMatch(/^prompt is empty/)
    expect((await drawn(`a cat --no "${line}"`)).negativePrompt).toBe('')
  })

  it('stays where letters and emoji need it', async () => {
    for (const prompt of ['👩‍🚀 on the moon', 'می‌خواهم', '❤️', '🫩', '🏴󠁧󠁢󠁥󠁮󠁧󠁿'])
      expect((await drawn(prompt)).prompt).toBe(prompt)
    expect((await drawn('a\u200b cat\ufeff')).prompt).toBe('a cat')
  })

  it('changes nothing the second time', async () => {
    const unit = fc.constantFrom('a', ' ', '\u200b', '\u200d', '\u0301', '\u2060', 'é', '\n', '\ufe0f', '👩')
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, minLength: 1 }), async (text) => {
        const { prompt } = await drawn(`x${text}`)
        expect((await drawn(prompt)).prompt).toBe(prompt)
      }),
    )
  })
})
