/**
 * The whole program from outside: real engine, real store, fake Discord and Slack, and everything that goes wrong.
 * Each test starts processes and draws for seconds.
 */

import { once } from 'node:events'
import { cp, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type FakeDiscord, startFakeDiscord } from './fakes/discord/index.ts'
import type { FakeMessage } from './fakes/discord/message.ts'
import { startFakeSlack } from './fakes/slack/index.ts'
import { isRunning, startProgram, temporaryFolder } from './program.ts'
import { hasRedis, startRedis } from './redis.ts'

const MODEL = fileURLToPath(new URL('../models/emoji', import.meta.url))

async function openDiscord() {
  const discord = await startFakeDiscord()
  onTestFinished(async () => {
    await discord.stop()
    expect(discord.problems).toEqual([])
  })
  return { discord, settings: { DISCORD_TOKEN: discord.token, DISCORD_API_URL: discord.apiUrl } }
}

async function openSlack() {
  const slack = await startFakeSlack()
  onTestFinished(async () => {
    await slack.stop()
    expect(slack.violations).toEqual([])
  })
  const { botToken, appToken, apiUrl } = slack
  return { slack, settings: { SLACK_BOT_TOKEN: botToken, SLACK_APP_TOKEN: appToken, SLACK_API_URL: apiUrl } }
}

/** They start processes and draw; beside other work that takes as long as it takes. */
const PATIENT = { timeout: 600_000 }

describe('seedling start', PATIENT, () => {
  it('needs nothing, says what is on and what is off, and leaves no process behind', async () => {
    const program = await startProgram()
    const response = await fetch(await program.address())
    expect(await response.text()).toContain('<title>Seedling')
    await program.says(/Discord +off: set DISCORD_TOKEN/)
    const children = await program.children()
    expect(children).toHaveLength(1)
    expect(await program.kill('SIGTERM')).toBe(0)
    expect(children.filter(isRunning)).toEqual([])
  })

  it('draws in Discord and in Slack at once', async () => {
    const [{ discord, settings }, { slack, settings: more }] = [await openDiscord(), await openSlack()]
    const program = await startProgram({ ...settings, ...more })
    await program.says(/Slack +on/)
    await program.says(/Discord +on/)
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple', seed: 1, steps: 4 })
    await slack.person('bob').types('/imagine a red apple --seed 1 --steps 4')
    await message.until(/Imagine · /)
    const answer = await slack.nextMessage()
    await answer.until(({ buttons }) => buttons.includes('V1'))
    expect(answer.pictures[0]!.bytes).toEqual(message.attachments[0]!.data)
    expect(program.output).not.toContain(discord.token)
    expect(await program.kill('SIGINT')).toBe(0)
  })

  it('brings a job through kill -9: the same message gets the very picture that it would have got', async () => {
    const { discord, settings } = await openDiscord()
    const folder = await temporaryFolder()
    const alice = discord.member('alice')
    const first = await startProgram(settings, folder)
    await first.says(/Discord +on/)
    const running = await alice.types('/imagine', { prompt: 'a cat', seed: 5, steps: 100, count: 2 })
    const waiting = await alice.types('/imagine', { prompt: 'a dog', seed: 6, steps: 4 })
    await running.until(/Drawing · [1-9]/)
    const [engine] = await first.children()
    await first.kill('SIGKILL')

    const second = await startProgram(settings, folder)
    await second.says(/Discord +on/)
    await running.until(/Imagine · /)
    await waiting.until(/Imagine · /)
    expect(isRunning(engine!)).toBe(false)
    expect(discord.messages).toHaveLength(2)
    const again = await alice.types('/imagine', { prompt: 'a cat', seed: 5, steps: 100, count: 2 })
    await again.until(/Imagine · /)
    expect(again.attachments.map(({ data }) => data)).toEqual(running.attachments.map(({ data }) => data))
  })

  it('finds its first answer again when it is killed as soon as that stands', async () => {
    const { discord, settings } = await openDiscord()
    const folder = await temporaryFolder()
    const first = await startProgram(settings, folder)
    await first.says(/Discord +on/)
    const message = await discord.member('alice').types('/imagine', { prompt: 'a cat', seed: 5, steps: 4 })
    await first.kill('SIGKILL')
    await startProgram(settings, folder)
    await message.until(/Imagine · /)
    expect(discord.messages).toEqual([message])
  })

  it('finds its first message in Slack again when it is killed before it heard of it', async () => {
    const { slack, settings } = await openSlack()
    const folder = await temporaryFolder()
    const first = await startProgram(settings, folder)
    await first.says(/Slack +on/)
    slack.fails('chat.postMessage', { lost: true, after: new Promise(() => {}) })
    await slack.person('alice').types('/imagine a cat --steps 4')
    const message = await slack.nextMessage()
    await first.kill('SIGKILL')
    await startProgram(settings, folder)
    await message.until(({ pictures }) => pictures.length === 1)
    expect(slack.messages).toEqual([message])
  })

  it('starts a killed engine again, and the job in it', async () => {
    const { discord, settings } = await openDiscord()
    const program = await startProgram(settings)
    await program.says(/Discord +on/)
    const message = await discord.member('alice').types('/imagine', { prompt: 'a cat', seed: 5, steps: 100, count: 2 })
    await message.until(/Drawing · [1-9]/)
    const [engine] = await program.children()
    process.kill(engine!, 'SIGKILL')
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(2)
    expect(await program.children()).not.toContain(engine)
  })
})

describe.runIf(process.platform !== 'win32')('an engine that stands still', PATIENT, () => {
  it('is started again, and the job in it', async () => {
    const { discord, settings } = await openDiscord()
    const program = await startProgram({ ...settings, SEEDLING_ENGINE_TIMEOUT: '5' })
    await program.says(/Discord +on/)
    const alice = discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'a cat', seed: 5, steps: 100, count: 4 })
    const next = await alice.types('/imagine', { prompt: 'a dog', seed: 5, steps: 4 })
    await message.until(/Drawing · [1-9]/)
    const [engine] = await program.children()
    process.kill(engine!, 'SIGSTOP')
    await message.until(/Imagine · /)
    await next.until(/Imagine · /)
    expect(program.output).toContain('no sign of life')
    expect(isRunning(engine!)).toBe(false)
  })
})

describe.runIf(hasRedis)('with a real Redis', PATIENT, () => {
  const prompts = Array.from({ length: 8 }, (_, index) => ({ prompt: `apple ${index}`, seed: index, steps: 20 }))

  async function ask(discord: FakeDiscord): Promise<FakeMessage[]> {
    const messages: FakeMessage[] = []
    for (const [index, options] of prompts.entries()) {
      messages.push(await discord.member(`member ${index}`).types('/imagine', options))
    }
    return messages
  }

  it('that is away for a while, every job waits and is drawn', async () => {
    const redis = await startRedis()
    const { discord, settings } = await openDiscord()
    const program = await startProgram({ ...settings, REDIS_URL: redis.url })
    await program.says(/Discord +on/)
    const messages = await ask(discord)
    await redis.kill()
    await program.says(/The line waits until then/)
    await messages[7]!.until(/paused/)
    await redis.start()
    for (const message of messages) await message.until(/Imagine · /)
    expect(discord.messages).toHaveLength(messages.length)
    expect(program.lines.filter((line) => line.includes('does not answer'))).toHaveLength(1)
    expect(
      program.lines.filter((line) => line.includes('The line goes on') || line.includes('the line goes on')),
    ).toHaveLength(1)
    expect(await program.kill('SIGTERM')).toBe(0)
  })

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'a second program waits, and takes over after %s: nothing is lost, nothing drawn twice',
    async (signal) => {
      const redis = await startRedis()
      const { discord, settings } = await openDiscord()
      const shared = { ...settings, REDIS_URL: redis.url }
      const first = await startProgram(shared)
      await first.says(/Discord +on/)
      // A folder of its own, as on another machine.
      const second = await startProgram(shared)
      await second.says(/in use by another Seedling/)
      const messages = await ask(discord)
      await messages[2]!.until(/Imagine · |Drawing · [1-9]/)
      await first.kill(signal)
      await second.says(/Discord +on/)
      for (const message of messages) await message.until(/Imagine · /)
      expect(discord.messages).toHaveLength(messages.length)
      const again = await discord.member('zoe').types('/imagine', prompts[1])
      await again.until(/Imagine · /)
      expect(again.attachments[0]!.data).toEqual(messages[1]!.attachments[0]!.data)
      expect(await second.kill('SIGTERM')).toBe(0)
    },
  )

  it('one that lost its lease stops serving and waits for its turn', async () => {
    const redis = await startRedis()
    const first = await startProgram({ REDIS_URL: redis.url })
    await first.address()
    await (await redis.client()).set('seedling:fence', '99')
    await first.says(/Another Seedling has taken over/)
    expect(await first.kill('SIGTERM')).toBe(0)
  })
})

describe('a start that cannot be', PATIENT, () => {
  async function refusal(settings: Record<string, string>, folder?: string): Promise<string> {
    const program = await startProgram(settings, folder)
    expect(await program.exit()).toBe(1)
    const [line, ...more] = program.lines.filter((said) => said.startsWith('Seedling cannot start'))
    expect(more).toEqual([])
    return line!
  }

  it('names the setting when the port is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    expect(await refusal({ PORT: String(port) })).toMatch(new RegExp(`${port}.*PORT`))
  })

  it('of one platform leaves the others alone: it says which token was refused, and never repeats it', async () => {
    const { settings } = await openDiscord()
    const { slack, settings: more } = await openSlack()
    const wrong = { DISCORD_TOKEN: 'not.the.token', SLACK_BOT_TOKEN: 'xoxb-wrong' }
    const program = await startProgram({ ...settings, ...more, ...wrong })
    await program.says(/Discord +down: .*DISCORD_TOKEN/)
    await program.says(/Slack +down: .*SLACK_BOT_TOKEN/)
    expect((await fetch(await program.address())).status).toBe(200)
    expect(program.output).not.toMatch(/not\.the\.token|xoxb-wrong/)
    expect(slack.connections).toBe(0)
    expect(await program.kill('SIGTERM')).toBe(0)
  })

  it('names what is wrong with a model folder', async () => {
    expect(await refusal({ SEEDLING_MODEL: '/nowhere/at/all' })).toContain('/nowhere/at/all')
    const folder = await temporaryFolder()
    await cp(MODEL, join(folder, 'model'), { recursive: true })
    await truncate(join(folder, 'model/unet/model.onnx'), 100_000)
    expect(await refusal({ SEEDLING_MODEL: join(folder, 'model') })).toContain('unet/model.onnx')
  })

  it('names a data folder that cannot be written', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'file'), '')
    expect(await refusal({ SEEDLING_DATA: join(folder, 'file', 'data') })).toContain(join(folder, 'file'))
  })

  it('reads .env, and reports all mistakes in it together', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, '.env'), 'SLACK_BOT_TOKEN=secret\nSEEDLING_PICTURE_DAYS=never\n')
    const line = await refusal({}, folder)
    expect(line).toMatch(/SLACK_BOT_TOKEN.*SEEDLING_PICTURE_DAYS|SEEDLING_PICTURE_DAYS.*SLACK_BOT_TOKEN/)
    expect(line).not.toContain('secret')
  })
})
