import { readFile } from 'node:fs/promises'
import type { webApi } from '@slack/bolt'
import { describe, expect, it } from 'vitest'
import { SCOPES } from '../../src/bot/slack/identity.ts'
import { CALLBACK_ID } from '../../src/bot/slack/modal.ts'
import { methods } from '../fakes/slack/rules.ts'

/** The fake grants what the manifest asks for, so every other test shows that it is enough; this one, that it is no more. */
it('the manifest asks for what the bot uses, and for nothing else', async () => {
  const file = new URL('../../deploy/slack-manifest.json', import.meta.url)
  const manifest: webApi.AppsManifestCreateArguments['manifest'] = JSON.parse(await readFile(file, 'utf8'))
  const { features, oauth_config, settings, display_information } = manifest
  expect(oauth_config?.scopes?.bot).toEqual(SCOPES)
  expect(oauth_config?.scopes?.user).toBeUndefined()
  expect(features?.slash_commands?.map(({ command }) => command)).toEqual(['/imagine'])
  expect(features?.shortcuts).toEqual([
    expect.objectContaining({ type: 'global', callback_id: CALLBACK_ID, name: expect.stringMatching(/^.{1,24}$/) }),
  ])
  expect(features?.app_home).toMatchObject({ messages_tab_enabled: true, messages_tab_read_only_enabled: false })
  expect(settings).toMatchObject({ socket_mode_enabled: true, interactivity: { is_enabled: true } })
  expect(settings?.event_subscriptions).toBeUndefined()
  expect(display_information.name.length).toBeLessThanOrEqual(35)
})

describe('the fake refuses what Slack refuses', () => {
  const text = (length: number) => ({ type: 'plain_text', text: 'x'.repeat(length) })
  const button = (id: string, label = 1) => ({ type: 'button', action_id: id, text: text(label) })
  const actions = (...elements: object[]) => ({ type: 'actions', elements })
  const section = (length: number) => ({ type: 'section', text: text(length) })
  const image = (alt: number) => ({ type: 'image', slack_file: { id: 'F1' }, alt_text: 'x'.repeat(alt) })
  const many = (count: number, block: (index: number) => object) =>
    Array.from({ length: count }, (_, index) => block(index))
  const takes = (...blocks: object[]) => {
    const args = { channel: 'C1', ts: '1700000000.000001', text: 'x', blocks: JSON.stringify(blocks) }
    return methods['chat.update'].args.safeParse(args).success
  }

  it.each([
    ['50 blocks', many(50, () => ({ type: 'divider' })), many(51, () => ({ type: 'divider' }))],
    ['25 buttons', [actions(...many(25, (n) => button(`${n}`)))], [actions(...many(26, (n) => button(`${n}`)))]],
    ['75 characters on a button', [actions(button('a', 75))], [actions(button('a', 76))]],
    ['255 in an action_id', [actions(button('x'.repeat(255)))], [actions(button('x'.repeat(256)))]],
    ['each action_id once', [actions(button('a'), button('b'))], [actions(button('a'), button('a'))]],
    ['3000 in a section', [section(3000)], [section(3001)]],
    ['2000 of alt text', [image(2000)], [image(2001)]],
    ['no empty text', [section(1)], [section(0)]],
    ['what it knows', [{ type: 'divider' }], [{ type: 'divider', color: 'red' }]],
    ['13,200 characters in all', many(4, () => section(3000)), many(5, () => section(3000))],
  ])('%s', (_, right, wrong) => {
    expect(takes(...right)).toBe(true)
    expect(takes(...wrong)).toBe(false)
  })
})
