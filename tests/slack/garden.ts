/** Slack's platform in a fake workspace, with the real commands and presenter around it and a queue that tests drive. */

import { test as base, expect } from 'vitest'
import { Presenter } from '../../src/bot/presenter.ts'
import { createSlack, type SlackOptions } from '../../src/bot/slack/index.ts'
import { Commands } from '../../src/commands/commands.ts'
import { model } from '../fakes/engine.ts'
import { FakeQueue } from '../fakes/queue.ts'
import { type FakeSlack, startFakeSlack } from '../fakes/slack/index.ts'
import type { Person } from '../fakes/slack/person.ts'
import type { Message } from '../fakes/slack/workspace.ts'

export interface Garden {
  readonly slack: FakeSlack
  readonly queue: FakeQueue
  readonly commands: Commands
  readonly presenter: Presenter
  /** What the operator reads. */
  readonly log: readonly string[]
  /** Resolves with the first line that matches. */
  logged(pattern: RegExp): Promise<string>
  /** A further bot on the same queue, not started. */
  bot(options?: Partial<SlackOptions>): ReturnType<typeof createSlack>
  stop(): Promise<void>
}

export async function plantGarden(): Promise<Garden> {
  const slack = await startFakeSlack()
  const queue = new FakeQueue()
  const log: string[] = []
  const listeners = new Set<() => void>()
  const write = (line: string) => {
    log.push(line)
    for (const listener of listeners) listener()
  }
  const presenter = new Presenter(queue, write)
  const commands = new Commands(queue, model, { variationStrength: 0.25, maxSize: 128 })
  const rooms = { commands, queue, pictures: queue.pictures, presenter, log: write }
  const { botToken, appToken } = slack
  return {
    slack,
    queue,
    commands,
    presenter,
    log,
    logged: (pattern) =>
      new Promise((resolve) => {
        const look = () => {
          const line = log.find((line) => pattern.test(line))
          if (line === undefined) return
          listeners.delete(look)
          resolve(line)
        }
        listeners.add(look)
        look()
      }),
    bot: (options) => createSlack({ botToken, appToken, apiUrl: slack.apiUrl, ...options }, rooms),
    async stop() {
      await presenter.stop()
      await slack.stop()
    },
  }
}

export interface Fixtures {
  /** The usual case: one bot, in Socket Mode, started. What it sends must be as Slack wants it. */
  garden: Garden
  alice: Person
  mallory: Person
}

export const test = base.extend<Fixtures>({
  garden: async ({ task: _ }, use) => {
    const garden = await plantGarden()
    const bot = garden.bot()
    garden.presenter.add(bot)
    await bot.start()
    await use(garden)
    await bot.stop()
    await garden.stop()
    expect(garden.slack.violations).toEqual([])
  },
  alice: async ({ garden }, use) => use(garden.slack.person('alice')),
  mallory: async ({ garden }, use) => use(garden.slack.person('mallory')),
})

/** Types a command and lets its job finish. */
export async function drawn({ slack, queue }: Garden, person: Person, line: string): Promise<Message> {
  await person.types(line)
  const message = await slack.nextMessage()
  await queue.finishes(queue.latest.id)
  return message.until(({ buttons }) => buttons.includes('🔄'))
}
