/** A folder of models in Slack: the form's inputs within Slack's limits, what is typed, and the wait for a model. */

import { describe, expect } from 'vitest'
import { folderOf } from '../fakes/engine.ts'
import type { LedEngine } from '../queue/engine.ts'
import { type Garden, test } from './garden.ts'

const LONG = 'a model whose name goes on '.repeat(5)
const many = (count: number, word = 'model') => Array.from({ length: count }, (_, index) => `${word} ${index} [v1]`)

function layIn({ program }: Garden, ...folder: Parameters<typeof folderOf>): void {
  ;(program.engine as LedEngine).catalog = folderOf(...folder)
}

describe.concurrent('models in Slack', () => {
  test('are chosen in the form, long names too', async ({ garden, alice }) => {
    layIn(garden, ['dream 8 [pruned]', LONG], ['ink'])
    const form = await alice.opensShortcut()
    const input = form.view.blocks.find(({ block_id }) => block_id === 'model')!
    expect(input.element).toMatchObject({ type: 'static_select', options: [{ value: 'tiny' }, {}, { value: LONG }] })
    expect(await form.submits({ prompt: 'a cat', model: 'dream 8 [pruned]', lora: 'inc' })).toEqual({
      lora: 'There is no LoRA "inc"; did you mean "ink"?',
    })
    expect(await form.submits({ prompt: 'a cat', model: 'dream 8 [pruned]', lora: 'ink:0.5' })).toEqual({})
    const { request } = await garden.jobOf(await garden.slack.nextMessage())
    expect(request).toMatchObject({ model: 'dream 8 [pruned]', prompt: 'a cat <lora:ink:0.5>' })
  })

  test('beyond what a select holds are typed, with the nearest named', async ({ garden, alice }) => {
    layIn(garden, many(1000), many(1000, 'lora'))
    const form = await alice.opensShortcut()
    const input = form.view.blocks.find(({ block_id }) => block_id === 'model')!
    expect(input.element.type).toBe('plain_text_input')
    expect(input.hint!.text.length).toBeLessThanOrEqual(500)
    expect((await form.submits({ prompt: 'a cat', model: 'modle 900 [v1]' })).model).toMatch(
      /^There is no model .*"model/,
    )
    expect(await form.submits({ prompt: 'a cat', model: 'MODEL 900 [v1]' })).toEqual({})
    expect((await garden.jobOf(await garden.slack.nextMessage())).request.model).toBe('model 900 [v1]')
  })

  test('say so while they are opened', async ({ garden, alice }) => {
    layIn(garden, ['dream 8'])
    await alice.types('/imagine a cat --model dream 8')
    const message = await garden.slack.nextMessage()
    ;(await garden.call()).open('dream 8')
    await garden.slack.workspace.until(
      () => message.shown.includes('Opening dream 8…'),
      () => 'the wait for a model',
    )
  })
})
