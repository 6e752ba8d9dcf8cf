import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect } from 'vitest'
import { served, test } from './garden.ts'

describe.concurrent('starting', () => {
  test('with a wrong token says which setting is wrong, and never the token', async ({ soil }) => {
    const wrongBot = soil.bot({ botToken: 'xoxb-wrong-secret' })
    await expect(wrongBot.start()).rejects.toThrow(/^Slack refused \(invalid_auth\); .*SLACK_BOT_TOKEN\.$/)
    await wrongBot.stop()
    const wrongApp = soil.bot({ appToken: 'xapp-wrong-secret' })
    await expect(wrongApp.start()).rejects.toThrow(/^Slack refused \(invalid_auth\); .*SLACK_APP_TOKEN\.$/)
    await wrongApp.stop()
    expect(soil.log.join()).not.toContain('secret')
  })

  test('without a scope names it', async ({ soil }) => {
    soil.slack.grants('commands', 'chat:write', 'files:read')
    const bot = soil.bot()
    await bot.start()
    expect(soil.log.join()).toMatch(/lacks files:write; .*manifest/)
    await bot.stop()
  })

  test('waits for a Slack that cannot be reached, aloud', async ({ soil, alice }) => {
    soil.slack.fails('auth.test', { status: 503 })
    soil.slack.fails('apps.connections.open', { error: 'internal_error' })
    const bot = soil.bot()
    await bot.start()
    expect(soil.log.filter((line) => /cannot be reached .*trying again in 1 s/.test(line))).toHaveLength(2)
    await alice.types('/imagine a red apple')
    await soil.slack.nextMessage()
    await bot.stop()
  })

  test('can be given up while Slack cannot be reached', async ({ soil }) => {
    const bot = soil.bot({ apiUrl: `http://127.0.0.1:${await closedPort()}/api/` })
    const started = bot.start()
    started.catch(() => {})
    await soil.logged(/cannot be reached \(ECONNREFUSED\)/)
    await bot.stop()
    await expect(started).rejects.toThrow()
  })
})

describe.concurrent('in Socket Mode', () => {
  test('a lost connection is opened again, also when Slack fails meanwhile', async ({ garden, alice }) => {
    garden.slack.fails('apps.connections.open', { status: 502 })
    await garden.slack.refreshes()
    await garden.logged(/cannot be reached/)
    await alice.types('/imagine a red apple')
    await garden.slack.nextMessage()
  })

  test('a token that was revoked ends the platform with a sentence', async ({ soil }) => {
    const bot = soil.bot()
    await bot.start()
    soil.slack.fails('apps.connections.open', { error: 'account_inactive' })
    soil.slack.disconnects()
    expect((await bot.failed!).message).toMatch(/^Slack refused \(account_inactive\); .*SLACK_APP_TOKEN\.$/)
    await bot.stop()
  })

  test('nothing is open any more after a stop', async ({ soil }) => {
    const bot = soil.bot()
    await bot.start()
    expect(soil.slack.connections).toBe(1)
    await bot.stop()
    await soil.slack.workspace.until(
      () => soil.slack.connections === 0 || undefined,
      () => 'the connection to end',
    )
  })
})

describe.concurrent('over HTTP', () => {
  test('commands, buttons and the form work the same', async ({ soil, alice }) => {
    const { bot } = await served(soil)
    await alice.types('/imagine a red apple')
    await alice.typesAgain()
    const message = await soil.slack.nextMessage()
    ;(await soil.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    await alice.clicks(message, '🔄')
    await soil.slack.nextMessage()
    await alice.types('/imagine a pear --steps 0')
    expect((await alice.hears()).shown).toContain('steps is “0”')
    const form = await alice.opensShortcut()
    expect(await form.submits({ prompt: 'a pear', steps: '0' })).toHaveProperty('steps')
    expect(await form.submits({ prompt: 'a pear' })).toEqual({})
    expect((await soil.slack.nextMessage()).shown).toContain('a pear')
    expect(soil.slack.connections).toBe(0)
    await bot.stop()
  })

  test('a request that Slack did not sign just now is turned away', async ({ soil, alice }) => {
    const { bot, delivery } = await served(soil)
    const event = alice.command('/imagine a red apple')
    const now = Math.floor(Date.now() / 1000)
    const unsigned = { 'x-slack-signature': 'v0=' }
    for (const forged of [{ secret: 'wrong' }, { time: now - 400 }, { time: Number.NaN }, { headers: unsigned }]) {
      expect((await delivery.send(event, forged)).status).toBe(401)
    }
    expect((await delivery.send(event)).status).toBe(200)
    await soil.slack.nextMessage()
    expect(soil.slack.messages).toHaveLength(1)
    await bot.stop()
  })

  test('a port in use is named', async ({ soil }) => {
    const { bot, port } = await served(soil)
    const second = soil.bot({ appToken: undefined!, signingSecret: 'x', port })
    await expect(second.start()).rejects.toThrow(`Slack's port ${port} cannot be used (EADDRINUSE); set SLACK_PORT`)
    await second.stop()
    await bot.stop()
  })
})

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
