/** Slack's platform in a fake workspace, with everything real around it but the engine, which tests lead by the hand. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect, vi } from 'vitest'
import type { Log } from '../../src/bot/platform.ts'
import { Presenter } from '../../src/bot/presenter.ts'
import { createSlack, type SlackOptions } from '../../src/bot/slack/index.ts'
import type { Commands } from '../../src/commands/commands.ts'
import type { Job } from '../../src/job/job.ts'
import { openProgram, type Program } from '../../src/program.ts'
import type { JobQueue } from '../../src/queue/queue.ts'
import { openJobStore } from '../../src/store/jobs.ts'
import { openPictureStore } from '../../src/store/pictures.ts'
import type { JobStore, PictureStore } from '../../src/store/store.ts'
import { type FakeSlack, startFakeSlack } from '../fakes/slack/index.ts'
import type { Person } from '../fakes/slack/person.ts'
import type { Message } from '../fakes/slack/workspace.ts'
import { type Call, LedEngine } from '../queue/engine.ts'

/** Few enough to be reached by hand. */
export const WAITING_PER_PERSON = 2

export class Garden {
  readonly slack: FakeSlack
  readonly program: Program
  readonly queue: JobQueue
  readonly commands: Commands
  readonly presenter: Presenter
  readonly pictures: PictureStore
  readonly write: Log
  readonly jobs: JobStore
  /** What the operator reads. */
  readonly log: string[]
  #taken = 0

  constructor(slack: FakeSlack, program: Program, log: string[]) {
    this.slack = slack
    this.program = program
    this.log = log
    this.queue = program.rooms.queue
    this.commands = program.rooms.commands
    this.presenter = program.rooms.presenter
    this.pictures = program.rooms.pictures
    this.write = program.rooms.log
    this.jobs = program.jobs
  }

  /** A bot, not started. */
  bot(options?: Partial<SlackOptions>, presenter = this.presenter): ReturnType<typeof createSlack> {
    const { botToken, appToken, apiUrl } = this.slack
    return createSlack({ botToken, appToken, apiUrl, ...options }, { ...this.program.rooms, presenter })
  }

  /** The presenter of a program that was started again. */
  nextPresenter(): Presenter {
    return new Presenter(this.queue, this.write)
  }

  /** What the engine is asked next. */
  async call(): Promise<Call> {
    return (this.program.engine as LedEngine).call(++this.#taken)
  }

  /** The job that a message shows. */
  async jobOf({ shown }: Message): Promise<Job> {
    const [, id] = /job ([0-9a-f]{16})/.exec(shown)!
    return (await this.queue.get(id!))!
  }

  /** The first line of the log that matches, behind the first `skipped`. */
  async logged(pattern: RegExp, skipped = 0): Promise<string> {
    return this.slack.workspace.until(
      () => this.log.slice(skipped).find((line) => pattern.test(line)),
      () => `a line like ${pattern}`,
    )
  }
}

export interface Fixtures {
  /** Without a bot. */
  soil: Garden
  /** The usual case: one bot, in Socket Mode, started. What it sends must be as Slack wants it. */
  garden: Garden
  alice: Person
  mallory: Person
}

export const test = base.extend<Fixtures>({
  soil: async ({ task: _ }, use) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'seedling-'))
    const slack = await startFakeSlack()
    const lines: string[] = []
    const log = (line: string) => {
      lines.push(line)
      slack.workspace.changed()
    }
    const program = await openProgram({
      openJobs: () => openJobStore({ dataDir }),
      openPictures: () => openPictureStore({ dataDir, days: 30, log }),
      startEngine: async () => new LedEngine(),
      limits: { jobsPerMinute: 1000, waitingPerPerson: WAITING_PER_PERSON, waitingPerGuild: 100 },
      variationStrength: 0.25,
      log,
    })
    await use(new Garden(slack, program, lines))
    await program.stop()
    await slack.stop()
    await rm(dataDir, { recursive: true })
    expect(slack.violations).toEqual([])
  },
  garden: async ({ soil }, use) => {
    const bot = soil.bot()
    soil.program.add(bot)
    await soil.program.start(bot)
    await use(soil)
  },
  alice: async ({ soil }, use) => use(soil.slack.person('alice')),
  mallory: async ({ soil }, use) => use(soil.slack.person('mallory')),
})

/** Types a command and lets the engine finish it. */
export async function drawn(garden: Garden, person: Person, line: string): Promise<Message> {
  await person.types(line)
  const message = await garden.slack.nextMessage()
  ;(await garden.call()).finish()
  return message.until(({ buttons }) => buttons.includes('🔄'))
}

/** A bot in Socket Mode that a test stops itself. */
export async function started(garden: Garden): Promise<ReturnType<typeof createSlack>> {
  const bot = garden.bot()
  garden.presenter.add(bot)
  await bot.start()
  return bot
}

/** A bot over HTTP. */
export async function served(garden: Garden) {
  const { signingSecret } = garden.slack
  const bot = garden.bot({ appToken: undefined!, signingSecret, port: 0 })
  garden.presenter.add(bot)
  await bot.start()
  const [, port] = /listening on port (\d+)/.exec(await garden.logged(/listening/))!
  const delivery = garden.slack.overHttp(`http://127.0.0.1:${port}/slack/events`)
  return { bot, port: Number(port), delivery }
}

/** Resolves when every job has been shown to the end. */
export async function allAnswered({ jobs }: Garden): Promise<void> {
  await vi.waitFor(async () => expect(await jobs.unanswered()).toEqual([]), { timeout: 25_000 })
}
