import { readFile } from 'node:fs/promises'
import type { webApi } from '@slack/bolt'
import { expect, it } from 'vitest'
import { SCOPES } from '../../src/bot/slack/identity.ts'
import { CALLBACK_ID } from '../../src/bot/slack/modal.ts'

/** The fake grants what the manifest asks for, so every other test shows that it is enough; this one, that it is no more. */
it('the manifest asks for what the bot uses, and for nothing else', async () => {
  const file = new URL('../../deploy/slack-manifest.json', import.meta.url)
  const { features, oauth_config, settings, display_information }: webApi.AppsManifestCreateArguments['manifest'] =
    JSON.parse(await readFile(file, 'utf8'))
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
