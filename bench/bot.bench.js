/** The whole program with a fake Discord: how soon it is there, how still its loop is while the engine runs flat out. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { figure, quantile } from './figures.js'
import { peak, resident } from './memory.js'
import { importTypeScript, Program } from './program.js'

const COMMANDS = 200
const COMMANDS_WITHIN_MS = 1000
/** Over so many people and channels, as a server of that size has; a channel takes few messages a second. */
const PEOPLE = 40
const CHANNELS = 20
/** Enough for what grows with pictures rather than with steps. */
const SHORT = { steps: 4 }

export default async function bench() {
  const { startFakeDiscord } = await importTypeScript('../tests/fakes/discord/index.ts')
  const discord = await startFakeDiscord()
  const folder = mkdtempSync(join(tmpdir(), 'seedling-bench-'))
  const startedAt = performance.now()
  const program = new Program(folder, {
    DISCORD_TOKEN: discord.token,
    DISCORD_API_URL: discord.apiUrl,
    // Limits that let one bench ask for so much.
    SEEDLING_JOBS_PER_MINUTE: '100000',
    SEEDLING_WAITING_PER_PERSON: '1000',
    SEEDLING_WAITING_PER_GUILD: '1000',
    NODE_OPTIONS: `--import=${new URL('./loop-delay.js', import.meta.url)}`,
  })
  try {
    await fetch(await program.says(/Playground +on: (\S+)/))
    const readyAt = performance.now()
    await program.says(/Discord +on/)
    const guild = new Guild(discord)
    await guild.imagine({ prompt: 'a red apple' })
    await guild.drawn(1)
    const firstAt = performance.now()
    return [
      figure('start to playground ready', readyAt - startedAt, 'ms', 3000),
      figure('first picture after that, in Discord', firstAt - readyAt, 'ms', 3000),
      ...(await flatOut(program, guild)),
      ...discord.problems.map((problem) => ({ figure: `not allowed: ${problem}`, value: '', ok: false })),
    ]
  } finally {
    await program.stop()
    await discord.stop()
    rmSync(folder, { recursive: true })
  }
}

/** Two hundred commands within a second, while four pictures are drawn; then all that they asked for. */
async function flatOut(program, guild) {
  for (let i = 0; i < 20; i++) await guild.imagine({ prompt: 'warm', ...SHORT })
  await guild.drawn(21)
  const engine = program.child()
  const before = resident(engine)
  await guild.imagine({ prompt: 'four red apples', count: 4, steps: 50 })
  program.send('start')
  const acknowledged = await Promise.all(
    Array.from({ length: COMMANDS }, async (_, i) => {
      await pause((i * COMMANDS_WITHIN_MS) / COMMANDS)
      const askedAt = performance.now()
      await guild.imagine({ prompt: `an apple, number ${i}`, ...SHORT })
      return performance.now() - askedAt
    }),
  )
  await guild.drawn(22 + COMMANDS)
  const held = await program.asks('report')
  return [
    figure(`${COMMANDS} commands within a second: acknowledged, p99`, quantile(acknowledged, 0.99), 'ms', 100),
    figure('  median', quantile(acknowledged, 0.5), 'ms'),
    figure('bot: event loop held, p99, engine flat out', held.p99, 'ms', 50),
    figure('  longest', held.max, 'ms'),
    ...memory(program.pid, engine, before),
  ]
}

function memory(bot, engine, before) {
  const after = resident(engine)
  if (after === undefined) return []
  return [
    figure('bot: memory, at most', peak(bot), 'MiB', 200),
    figure(`engine: memory after ${COMMANDS} more pictures, over ${Math.round(before)} MiB`, after - before, 'MiB', 10),
  ]
}

/** People who type into the channels in turn. */
class Guild {
  #people
  #channels
  #asked = 0
  #messages = []

  constructor(discord) {
    this.#people = Array.from({ length: PEOPLE }, (_, i) => discord.member(`person${i}`))
    this.#channels = Array.from({ length: CHANNELS }, () => discord.newChannel('guild'))
    // As Discord itself: five a channel in five seconds.
    discord.limitRequests(5, 5000)
  }

  /** Resolves when the command is acknowledged. */
  async imagine(options) {
    const turn = this.#asked++
    const person = this.#people[turn % PEOPLE].in(this.#channels[turn % CHANNELS])
    this.#messages.push(await person.types('/imagine', options))
  }

  /** Resolves when so many messages have their pictures. */
  async drawn(count) {
    while (
      this.#messages.filter(({ attachments, buttons }) => attachments.length > 0 && buttons.flat().includes('V1'))
        .length < count
    )
      await pause(20)
  }
}
