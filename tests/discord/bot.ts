/** The whole Discord side as it runs: fake Discord, real client, real commands, presenter and queue, an engine led by hand. */

import { expect, onTestFinished } from 'vitest'
import { createDiscord } from '../../src/bot/discord/index.ts'
import type { Platform } from '../../src/bot/platform.ts'
import { Presenter } from '../../src/bot/presenter.ts'
import { Commands } from '../../src/commands/commands.ts'
import { type FakeDiscord, type FakeMessage, startFakeDiscord } from '../fakes/discord/index.ts'
import { type House, type HouseOptions, openHouse } from '../queue/jobs.ts'

export interface Bot extends House {
  readonly discord: FakeDiscord
  readonly platform: Platform
  /** Ends as an orderly stop does; the fake Discord stays. */
  stop(): Promise<void>
}

export interface BotOptions extends HouseOptions {
  readonly discord?: FakeDiscord
  readonly token?: string
  /** The address, where it is not the fake's own. */
  readonly apiUrl?: string
}

export async function openDiscord(port?: number): Promise<FakeDiscord> {
  const discord = await startFakeDiscord({ port })
  onTestFinished(async () => {
    await discord.stop()
    expect(discord.problems).toEqual([])
  })
  return discord
}

/** A bot that members can talk to. */
export async function startBot(options: BotOptions = {}): Promise<Bot> {
  const bot = await createBot(options)
  await bot.platform.start()
  for (const job of await bot.queue.recover()) bot.presenter.resume(job)
  return bot
}

/** A bot that was not started yet. */
export async function createBot(options: BotOptions = {}): Promise<Bot & { presenter: Presenter }> {
  const discord = options.discord ?? (await openDiscord())
  const house = await openHouse(options)
  const log = (line: string) => house.log.push(line)
  const presenter = new Presenter(house.queue, log)
  const commands = new Commands(house.queue, house.engine.model, { variationStrength: 0.25, maxSize: 128 })
  const settings = { token: options.token ?? discord.token, apiUrl: options.apiUrl ?? discord.apiUrl }
  const platform = createDiscord(settings, { commands, queue: house.queue, pictures: house.pictures, presenter, log })
  presenter.add(platform)
  const stop = async () => {
    await presenter.stop()
    await platform.stop()
    await house.close()
  }
  onTestFinished(stop)
  return { ...house, discord, platform, presenter, stop }
}

/** The number of the job that a message shows. */
export function jobIn({ text }: FakeMessage): string {
  return /job ([0-9a-f]{16})/.exec(text)![1]!
}

/** Resolves when every job has been shown to the end. */
export async function allAnswered({ jobs }: Pick<Bot, 'jobs'>): Promise<void> {
  await expect.poll(() => jobs.unanswered(), { timeout: 25_000 }).toEqual([])
}
