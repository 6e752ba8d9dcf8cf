import { describe, expect, it } from 'vitest'
import { startFakeDiscord } from '../fakes/discord/index.ts'

const quiet = { allowed_mentions: { parse: [] } }
const button = { type: 2, style: 2, label: 'V1', custom_id: 'a' }
const row = (components: unknown[]) => ({ type: 1, components })

/** The tests of the bot are worth what this judge is worth. */
describe('the fake Discord refuses', () => {
  it.each([
    ['a text of 2,001 characters', { content: 'a'.repeat(2001) }, 'content has 2001'],
    ['a mention that may ping', { content: '@everyone', allowed_mentions: { parse: ['everyone'] } }, 'may notify'],
    ['nothing said of mentions', { content: 'a', allowed_mentions: undefined }, 'may notify'],
    ['six buttons in a row', { components: [row(Array(6).fill(button))] }, 'components.0'],
    ['six rows', { components: [...'abcdef'].map((id) => row([{ ...button, custom_id: id }])) }, '6 rows'],
    ['two buttons alike', { components: [row([button, button])] }, 'twice the same custom_id'],
    ['a long custom_id', { components: [row([{ ...button, custom_id: 'a'.repeat(101) }])] }, 'custom_id'],
    ['a field that it does not know', { contents: 'a' }, 'contents: unknown field'],
    ['embeds that are too long together', { embeds: Array(2).fill({ description: 'a'.repeat(3001) }) }, '6,000'],
    ['an attachment without its file', { attachments: [{ id: '0', filename: 'a.png', description: 'a' }] }, 'no file'],
    ['a flag of another form', { content: 'a', flags: 64 }, 'flags 64'],
  ])('%s', async (_, body, problem) => {
    const discord = await startFakeDiscord()
    const response = await fetch(`${discord.apiUrl}/v10/channels/${discord.channel.id}/messages`, {
      method: 'POST',
      headers: { authorization: `Bot ${discord.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...quiet, ...body }),
    })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ code: 50035 })
    expect(discord.problems.join('\n')).toContain(problem)
    expect(discord.messages).toEqual([])
    await discord.stop()
  })

  it('a command without a description, and one with its required option last', async () => {
    const discord = await startFakeDiscord()
    const option = { type: 3, name: 'a', description: 'a' }
    const commands = [
      { name: 'a' },
      { name: 'b', description: 'b', options: [option, { ...option, name: 'c', required: true }] },
    ]
    await fetch(`${discord.apiUrl}/v10/applications/1/commands`, {
      method: 'PUT',
      headers: { authorization: `Bot ${discord.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(commands),
    })
    expect(discord.problems.join('\n')).toMatch(/a: no description[\s\S]*b: required options come first/)
    await discord.stop()
  })
})
