/**
 * `node bench/torture.js [NAME …]`: what a hostile week does to the program, in some minutes: kills, stores that go away,
 * engines that stand still, deploys, Discord's limits, floods. It prints one table of attempts and losses, and fails when
 * anything acknowledged was lost, failed, answered twice or drawn otherwise than it would have been.
 *
 * Everything is on loopback: the tests' fake Discord, and `redis-server` where that is installed. It needs `npm run build`.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { quantile } from './figures.js'
import { importTypeScript, Program } from './program.js'

const { startFakeDiscord } = await importTypeScript('../tests/fakes/discord/index.ts')
const { hasRedis, RedisServer } = await importTypeScript('../tests/redis-server.ts')

/** Of each scenario: what it does to `chat`, a Discord with a program on it, whose jobs are then counted. */
const SCENARIOS = {
  'kill -9 of the program, 20 times': kills,
  'kill -9 of the engine, 5 times': engineKills,
  'engine stopped (SIGSTOP), in a job and after a cancel': freezes,
  'disk full for 5 s': fullDisk,
  'Redis away for 5 s, 3 times': (chat) => redisAway(chat, 3),
  'Redis silent for 8 s (SIGSTOP)': redisSilent,
  'deploys on one Redis, 4 times (SIGTERM, SIGKILL)': deploys,
  'rate limits of 5 in 5 s a channel, 60 jobs in 6': buckets,
  '1,000 commands of 50 guilds in one second': flood,
}
const SHORT = { steps: 4 }
/** Until everything that was asked for is answered. */
const PATIENCE_MS = 240_000

async function main(names) {
  if (!existsSync(new URL('../dist/cli.js', import.meta.url)))
    throw new Error('There is no dist/; run `npm run build`.')
  const [load] = loadavg()
  const rows = []
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (names.length > 0 && !names.some((part) => name.includes(part))) continue
    process.stderr.write(`${name} …\n`)
    rows.push({ name, ...(await run(scenario)) })
  }
  console.log(
    `Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model.trim()}, load before ${load.toFixed(1)}\n`,
  )
  print(rows)
  if (rows.some(({ lost, failed, twice, wrong }) => lost + failed + twice + wrong > 0)) process.exitCode = 1
}

async function run(scenario) {
  const chat = await Chat.open()
  try {
    const skipped = await scenario(chat)
    return skipped === undefined ? await chat.count() : { skipped }
  } finally {
    await chat.close()
  }
}

/** A Discord, the programs on it, and everything that was asked for. */
class Chat {
  discord
  program
  /** What was acknowledged: its options, and the message that answers. */
  asked = []
  refused = 0
  remarks = []
  /** Acknowledged, and not waited for. */
  #uncounted = false
  #folder = mkdtempSync(join(tmpdir(), 'seedling-torture-'))
  #closing = []

  static async open() {
    const chat = new Chat()
    chat.discord = await startFakeDiscord()
    return chat
  }

  /** A program on this Discord, in a folder that all of them share. */
  async start(settings = {}, wrapper = []) {
    const { token, apiUrl } = this.discord
    const program = new Program(
      this.#folder,
      {
        DISCORD_TOKEN: token,
        DISCORD_API_URL: apiUrl,
        SEEDLING_JOBS_PER_MINUTE: '100000',
        SEEDLING_WAITING_PER_GUILD: '1000',
        ...settings,
      },
      wrapper,
    )
    this.onClose(() => program.stop('SIGKILL'))
    this.program = program
    return program
  }

  async ready(program = this.program) {
    await program.says(/Discord +on/)
  }

  /** Somebody asks; whether or not the bot is there to hear it. */
  async ask(options = SHORT, member = this.discord.member(`person ${this.asked.length}`)) {
    const seed = this.asked.length
    const asked = { prompt: `apple ${seed}`, seed, ...options }
    try {
      const message = await member.types('/imagine', asked)
      if (message.ephemeral) this.refused++
      else this.asked.push({ options: asked, message })
      return message
    } catch {
      this.refused++
      return undefined
    }
  }

  onClose(end) {
    this.#closing.push(end)
  }

  /** Nothing asked for so far need be drawn. */
  leave() {
    this.#uncounted = true
  }

  /** What became of it all. */
  async count() {
    const row = { acknowledged: this.asked.length, refused: this.refused }
    const remark = [...this.remarks, ...new Set(this.discord.problems)].join('; ')
    if (this.#uncounted) return { ...row, remark }
    const ends = ({ message }) => isDrawn(message) || /Cancelled|Sorry/.test(message.text) || message.deleted
    const until = performance.now() + PATIENCE_MS
    while (this.asked.some((job) => !ends(job)) && performance.now() < until) await pause(50)
    row.lost = this.asked.filter((job) => !ends(job)).length
    row.failed = this.asked.filter(({ message }) => /Sorry/.test(message.text)).length
    row.twice = this.discord.messages.length - this.asked.length
    row.wrong = await this.#wrong()
    return { ...row, remark }
  }

  /** Some are drawn once more, undisturbed, to be compared. */
  async #wrong() {
    const drawn = this.asked.filter(({ message }) => isDrawn(message))
    const chosen = drawn.filter((_, index) => index % Math.ceil(drawn.length / 5) === 0)
    let wrong = 0
    for (const { options, message } of chosen) {
      const again = await this.discord.member('judge').types('/imagine', options)
      await again.until(isDrawn)
      if (!again.attachments[0].data.equals(message.attachments[0].data)) wrong++
    }
    return wrong
  }

  async close() {
    for (const end of this.#closing.toReversed()) await end()
    await this.discord.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** What is shown before that are previews. */
function isDrawn({ buttons }) {
  return buttons.flat().includes('V1')
}

async function kills(chat) {
  for (let life = 0; life < 20; life++) {
    await chat.start()
    await chat.ready()
    await Promise.all([chat.ask(), chat.ask(), chat.ask({ steps: 12, count: 2 })])
    await pause(Math.random() * 700)
    await chat.program.stop('SIGKILL')
  }
  await chat.start()
}

async function engineKills(chat) {
  await chat.start()
  await chat.ready()
  for (let kill = 0; kill < 5; kill++) {
    await chat.ask({ steps: 100, count: 2 })
    const { message } = chat.asked.at(-1)
    await message.until(/Drawing · [1-9]/)
    process.kill(chat.program.child(), 'SIGKILL')
    await message.until(isDrawn)
  }
}

async function freezes(chat) {
  await chat.start({ SEEDLING_ENGINE_TIMEOUT: '5' })
  await chat.ready()
  const alice = chat.discord.member('alice')
  for (const cancels of [false, true, false, true]) {
    const message = await chat.ask({ steps: 100, count: 2 }, alice)
    const after = await chat.ask()
    await message.until(/Drawing · [1-9]/)
    process.kill(chat.program.child(), 'SIGSTOP')
    if (cancels) await alice.clicks(message, 'Cancel')
    await after.until(isDrawn)
  }
}

async function fullDisk(chat) {
  if (spawnSync('prlimit', ['--version']).status !== 0) return 'no prlimit here'
  await chat.start()
  await chat.ready()
  for (let i = 0; i < 10; i++) await chat.ask()
  const limit = (size) => spawnSync('prlimit', ['--pid', String(chat.program.pid), `--fsize=${size}:unlimited`])
  limit(0)
  await pause(2500)
  for (let i = 0; i < 5; i++) await chat.ask()
  await pause(2500)
  limit('unlimited')
  for (let i = 0; i < 5; i++) await chat.ask()
}

async function redisAway(chat, times) {
  const redis = await startRedis(chat)
  if (!redis) return 'no redis-server here'
  await chat.start({ REDIS_URL: redis.url })
  await chat.ready()
  for (let i = 0; i < times; i++) {
    for (let j = 0; j < 8; j++) await chat.ask()
    await redis.kill()
    await pause(5000)
    await redis.start()
    // Until it is found again, who asks is told to ask again.
    await pause(3000)
  }
}

async function redisSilent(chat) {
  const redis = await startRedis(chat)
  if (!redis) return 'no redis-server here'
  await chat.start({ REDIS_URL: redis.url })
  await chat.ready()
  for (let j = 0; j < 8; j++) await chat.ask()
  redis.freeze()
  await pause(8000)
  redis.thaw()
  for (let j = 0; j < 8; j++) await chat.ask()
}

async function deploys(chat) {
  const redis = await startRedis(chat)
  if (!redis) return 'no redis-server here'
  let old = await chat.start({ REDIS_URL: redis.url })
  await chat.ready()
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGTERM', 'SIGKILL']) {
    const next = await chat.start({ REDIS_URL: redis.url })
    await next.says(/in use by another Seedling/)
    for (let i = 0; i < 6; i++) await chat.ask({ steps: 12 })
    await old.stop(signal)
    await chat.ready(next)
    old = next
  }
}

async function buckets(chat) {
  chat.discord.limitRequests(5, 5000)
  await chat.start()
  await chat.ready()
  const channels = Array.from({ length: 6 }, () => chat.discord.newChannel('guild'))
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => chat.ask(SHORT, chat.discord.member(`person ${i}`).in(channels[i % 6]))),
  )
  await Promise.all(chat.asked.map(({ message }) => message.until(isDrawn)))
  chat.remarks.push(`429 answers: ${chat.discord.limited}`)
}

/** Twenty people of each guild; what they asked for is not waited for. */
async function flood(chat) {
  await chat.start()
  await chat.ready()
  await chat.ask()
  await chat.asked[0].message.until(isDrawn)
  const channels = Array.from({ length: 50 }, () => chat.discord.newChannel('guild', chat.discord.newGuild()))
  const people = channels.flatMap((channel, guild) =>
    Array.from({ length: 20 }, (_, i) => chat.discord.member(`person ${guild}/${i}`).in(channel)),
  )
  const before = chat.program.cpuMs
  const took = await Promise.all(
    people.map(async (person, i) => {
      await pause(((i * 7919) % people.length) * (1000 / people.length))
      const askedAt = performance.now()
      await chat.ask(SHORT, person)
      return performance.now() - askedAt
    }),
  )
  const cpuMs = (chat.program.cpuMs - before) / people.length
  const [median, p99] = [0.5, 0.99].map((part) => quantile(took, part).toFixed(0))
  chat.remarks.push(`median ${median} ms, p99 ${p99} ms, ${cpuMs.toFixed(1)} ms of CPU time each`)
  chat.leave()
}

/** A real one, whose memory survives its death; undefined where it is not installed. */
async function startRedis(chat) {
  if (!hasRedis) return undefined
  const redis = await RedisServer.open()
  chat.onClose(() => redis.remove())
  return redis
}

function print(rows) {
  const columns = ['acknowledged', 'refused', 'lost', 'failed', 'twice', 'wrong']
  const width = Math.max(...rows.map(({ name }) => name.length))
  console.log(['', ...columns].map((head, i) => (i === 0 ? head.padEnd(width) : head.padStart(12))).join(''))
  for (const { name, skipped, remark, ...counts } of rows) {
    const cells = columns.map((column) => String(counts[column] ?? '–').padStart(12))
    console.log([name.padEnd(width), ...cells, `  ${skipped ?? remark ?? ''}`].join(''))
  }
}

await main(process.argv.slice(2))
