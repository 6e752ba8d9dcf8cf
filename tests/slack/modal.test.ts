import { describe, expect } from 'vitest'
import { test } from './garden.ts'

describe.concurrent('the form', () => {
  test('opens from the global shortcut, asks for every option, and draws where it says', async ({ garden, alice }) => {
    const form = await alice.opensShortcut(alice.direct)
    const names = form.view.blocks.map(({ block_id }) => block_id)
    expect(names).toEqual([...garden.commands.options.map(({ name }) => name), 'channel'])

    const errors = await form.submits({
      prompt: 'a red apple',
      negative: 'leaves',
      seed: '7',
      steps: '12',
      count: '2',
      aspect: '16:9',
      transparent: 'true',
      'clip-skip': '2',
      channel: garden.slack.general,
    })
    expect(errors).toEqual({})
    const message = await garden.slack.nextMessage()
    expect(message.channel).toBe(garden.slack.general)
    const { request, author } = await garden.jobOf(message)
    expect(request).toMatchObject({
      prompt: 'a red apple',
      negativePrompt: 'leaves',
      seed: 7,
      numInferenceSteps: 12,
      transparent: true,
      clipSkip: 2,
    })
    expect(request.width / request.height).toBeGreaterThan(1.5)
    expect(author).toEqual({ id: alice.user.id, name: 'alice' })
  })

  test('opens from an empty command, and draws where it was typed', async ({ garden, alice }) => {
    await alice.types('/imagine', alice.direct)
    const form = await alice.seesForm()
    expect(
      await form.submits({ prompt: 'a red apple --seed 7 --transparent --clip-skip 4 --steps 5', steps: '9' }),
    ).toEqual({})
    const message = await garden.slack.nextMessage()
    expect(message.channel).toBe(alice.direct)
    expect((await garden.jobOf(message)).request).toMatchObject({
      prompt: 'a red apple',
      seed: 7,
      numInferenceSteps: 9,
      transparent: true,
      clipSkip: 4,
    })
  })

  test('says under each input what is wrong with it, all at once', async ({ garden, alice }) => {
    const form = await alice.opensShortcut()
    const errors = await form.submits({ prompt: 'a red apple --speed 7', seed: '-1', steps: '900', size: '63x64' })
    expect(Object.keys(errors)).toEqual(['prompt', 'seed', 'steps', 'size'])
    expect(errors.prompt).toContain('--speed is not an option')
    expect(errors.steps).toBe('steps is “900”; it must be a whole number from 1 to 100.')
    expect(await form.submits({ prompt: '   ' })).toHaveProperty('prompt')

    expect(await form.submits({ prompt: 'a red apple', steps: '9' })).toEqual({})
    await garden.slack.nextMessage()
    expect(garden.slack.messages).toHaveLength(1)
  })

  test('asks for an invitation in a channel that the bot is not in', async ({ garden, alice }) => {
    const form = await alice.opensShortcut()
    expect(await form.submits({ prompt: 'a red apple', channel: garden.slack.secret })).toEqual({})
    expect((await alice.hears()).shown).toContain('/invite @seedling')
    expect(garden.slack.messages).toEqual([])
  })

  test('submitted twice by Slack, draws once', async ({ garden, alice }) => {
    const form = await alice.opensShortcut()
    await form.submits({ prompt: 'a red apple' })
    await garden.slack.delivery.redeliver()
    await alice.types('/imagine a pear')
    await garden.slack.nextMessage()
    expect((await garden.slack.nextMessage()).shown).toContain('a pear')
  })
})
