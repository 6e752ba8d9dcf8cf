/** The whole program with a fake Discord: how soon it is there, how still its loop is while the engine runs flat out. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { figure, quantile } from './figures.js'
import { peak, resident } from './memory.js'

const pathOf = (relative) => fileURLToPath(new URL(relative, import.meta.url))
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
  const program = new Program(folder, { DISCORD_TOKEN: discord.token, DISCORD_API_URL: discord.apiUrl })
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

/** The program as its operator starts it, with limits that let one bench ask for so much. */
class Program {
  #process
  #output = ''

  constructor(folder, settings) {
    this.#process = spawn(process.execPath, [pathOf('../dist/cli.js'), 'start'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        SEEDLING_DEVICE: 'cpu',
        SEEDLING_JOBS_PER_MINUTE: '100000',
        SEEDLING_WAITING_PER_PERSON: '1000',
        SEEDLING_WAITING_PER_GUILD: '1000',
        NODE_OPTIONS: `--import=${new URL('./loop-delay.js', import.meta.url)}`,
        ...settings,
      },
    })
    createInterface(this.#process.stdout).on('line', (line) => {
      this.#output += `${line}\n`
      this.#process.emit('line')
    })
  }

  get pid() {
    return this.#process.pid
  }

  async says(pattern) {
    while (!pattern.test(this.#output)) await once(this.#process, 'line', { signal: AbortSignal.timeout(30_000) })
    return pattern.exec(this.#output)[1]
  }

  send(order) {
    this.#process.send(order)
  }

  async asks(order) {
    this.send(order)
    const [answer] = await once(this.#process, 'message')
    return answer
  }

  /** The engine's process id. */
  child() {
    const parent = (pid) => {
      try {
        return Number(
          readFileSync(`/proc/${pid}/stat`, 'utf8')
            .replace(/^.*\) /s, '')
            .split(' ')[1],
        )
      } catch {
        return undefined
      }
    }
    try {
      return readdirSync('/proc').find((name) => /^\d+$/.test(name) && parent(name) === this.pid)
    } catch {
      return undefined
    }
  }

  async stop() {
    this.#process.kill('SIGTERM')
    if (this.#process.exitCode === null) await once(this.#process, 'exit')
  }
}

/** Node 20 does not read TypeScript; the bundle lies where its packages are found. */
async function importTypeScript(file) {
  const cache = join(realpathSync(pathOf('../node_modules')), '.cache/seedling-bench')
  const outfile = join(cache, `${process.pid}.js`)
  await build({
    entryPoints: [pathOf(file)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  })
  try {
    return await import(outfile)
  } finally {
    rmSync(outfile)
  }
}
