/** The whole Discord side as it runs: fake Discord, real client, real commands, presenter and queue, an engine led by hand. */

import { expect, onTestFinished } from 'vitest'
import { createDiscord } from '../../src/bot/discord/index.ts'
import type { Platform } from '../../src/bot/platform.ts'
import { type FakeDiscord, type FakeMessage, startFakeDiscord } from '../fakes/discord/index.ts'
import { type House, type HouseOptions, openHouse } from '../queue/jobs.ts'

export interface Bot extends House {
  readonly discord: FakeDiscord
  readonly platform: Platform
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
  await bot.program.start(bot.platform)
  return bot
}

/** A bot that was not started yet. */
export async function createBot(options: BotOptions = {}): Promise<Bot> {
  const discord = options.discord ?? (await openDiscord())
  const house = await openHouse(options)
  const settings = { token: options.token ?? discord.token, apiUrl: options.apiUrl ?? discord.apiUrl }
  const platform = createDiscord(settings, house.program.rooms)
  house.program.add(platform)
  return { ...house, discord, platform }
}

/** The number of the job that a message shows. */
export function jobIn({ text }: FakeMessage): string {
  return /job ([0-9a-f]{16})/.exec(text)![1]!
}

/** Resolves when every job has been shown to the end. */
export async function allAnswered({ jobs }: Pick<Bot, 'jobs'>): Promise<void> {
  await expect.poll(() => jobs.unanswered(), { timeout: 25_000 }).toEqual([])
}
