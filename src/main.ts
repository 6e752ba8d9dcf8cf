/** The whole program: starts the rooms in order, says what is on and what is off, and stops them in reverse. */

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Log, Platform } from './bot/platform.ts'
import { createPlayground } from './bot/playground/index.ts'
import { Presenter } from './bot/presenter.ts'
import type { Rooms } from './bot/rooms.ts'
import { Commands } from './commands/commands.ts'
import { maxSizeOf } from './commands/request.ts'
import { type Config, readConfig } from './config.ts'
import { EMBEDDED_MODEL } from './embedded-model.ts'
import type { Model } from './engine/process/engine.ts'
import { startEngine } from './engine/process/host.ts'
import { JobQueue } from './queue/queue.ts'
import { openJobStore } from './store/jobs.ts'
import { openPictureStore } from './store/pictures.ts'
import { unknownSettings } from './unknown-settings.ts'
import { VERSION } from './version.ts'

/** What must be ended, in the order in which it was begun. */
type Stops = (() => Promise<void> | void)[]

/** Runs until SIGINT or SIGTERM and gives the exit code; a start that fails says why in one sentence. */
export async function main(): Promise<number> {
  const log: Log = (line) => console.log(line)
  const stops: Stops = []
  const signal = stopSignal()
  try {
    const stopped = once(signal, 'abort')
    if (existsSync('.env')) process.loadEnvFile()
    for (const sentence of unknownSettings(process.env)) log(sentence)
    await Promise.race([start(readConfig(process.env), stops, log, signal), stopped])
    await stopped
    return 0
  } catch (error) {
    console.error(`Seedling cannot start: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  } finally {
    for (const stop of stops.toReversed()) await stop()
  }
}

/** Aborts at the first SIGINT or SIGTERM; a second one ends the program on the spot. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1)
      console.log('Stopping; what is queued goes on after the next start.')
      stopping.abort(name)
    })
  }
  return stopping.signal
}

async function start(config: Config, stops: Stops, log: Log, signal: AbortSignal): Promise<void> {
  const { SEEDLING_DATA: dataDir, REDIS_URL: redisUrl } = config
  const jobs = await openJobStore({ dataDir, redisUrl })
  stops.push(() => jobs.close())
  const pictures = await openPictureStore({ dataDir, days: config.SEEDLING_PICTURE_DAYS, log })
  stops.push(() => pictures.close())
  const engine = await startEngine({
    model: config.SEEDLING_MODEL ?? EMBEDDED_MODEL,
    device: config.SEEDLING_DEVICE,
    cacheDir: join(dataDir, 'cache'),
    log,
    signal,
  })
  stops.push(() => engine.stop())
  const queue = new JobQueue({ jobs, pictures, engine, limits: limitsOf(config), log })
  stops.push(() => queue.close())
  const presenter = new Presenter(queue, log)
  const commands = new Commands(queue, engine.model, {
    variationStrength: config.SEEDLING_VARIATION_STRENGTH,
    maxSize: maxSizeOf(config.SEEDLING_MAX_SIZE, engine.model),
  })
  log(`Seedling ${VERSION}, ${modelLine(engine.model)}`)
  await startPlatforms(config, engine.model, { commands, queue, pictures, presenter, log }, stops)
}

function limitsOf(config: Config) {
  return {
    jobsPerMinute: config.SEEDLING_JOBS_PER_MINUTE,
    waitingPerPerson: config.SEEDLING_WAITING_PER_PERSON,
    waitingPerGuild: config.SEEDLING_WAITING_PER_GUILD,
  }
}

function modelLine({ name, width, height, numInferenceSteps }: Model): string {
  return `model ${name} (${width}x${height}, ${numInferenceSteps} steps)`
}

/** Each chat takes up its unanswered jobs as soon as it is connected: one that is away holds up no other. */
async function startPlatforms(config: Config, model: Model, rooms: Rooms, stops: Stops): Promise<void> {
  const { presenter, queue, log } = rooms
  const playground = createPlayground({ ...playgroundOf(config), model: model.name }, rooms)
  const chats = [
    { name: 'Discord', platform: await discordOf(config, rooms), toTurnOn: 'DISCORD_TOKEN' },
    { name: 'Slack', platform: await slackOf(config, rooms), toTurnOn: 'SLACK_BOT_TOKEN and SLACK_APP_TOKEN' },
  ]
  for (const platform of [playground, ...chats.flatMap((chat) => chat.platform ?? [])]) {
    presenter.add(platform)
    stops.push(() => platform.stop())
  }
  // Stopped before the platforms, so that what it is drawing is still drawn.
  stops.push(() => presenter.stop())
  await playground.start()
  log(`Playground  on: ${playground.address}`)
  const jobs = await queue.recover()
  const resume = ({ name }: Platform) => {
    for (const job of jobs.filter(({ place }) => place.platform === name)) presenter.resume(job)
  }
  resume(playground)
  await Promise.all(
    chats.map(async ({ name, platform, toTurnOn }) => {
      if (!platform) return log(`${name.padEnd(12)}off: set ${toTurnOn} (README, "${name} in five steps")`)
      await platform.start()
      log(`${name.padEnd(12)}on`)
      resume(platform)
    }),
  )
}

function playgroundOf(config: Config) {
  return {
    host: config.HOST,
    port: config.PORT,
    password: config.SEEDLING_PAGE_PASSWORD,
    trustsProxy: config.SEEDLING_TRUST_PROXY,
    dataDir: config.SEEDLING_DATA,
    limits: {
      // Two people's, since a family or an office may share an address.
      jobsPerAddress: 2 * config.SEEDLING_WAITING_PER_PERSON,
      jobsInAll: config.SEEDLING_WAITING_PER_GUILD,
    },
  }
}

// A chat's library is loaded where it is turned on: both take longer than all the rest.

async function discordOf(config: Config, rooms: Rooms): Promise<Platform | undefined> {
  const { DISCORD_TOKEN: token, DISCORD_API_URL: apiUrl } = config
  if (!token) return undefined
  const { createDiscord } = await import('./bot/discord/index.ts')
  return createDiscord({ token, apiUrl }, rooms)
}

async function slackOf(config: Config, rooms: Rooms): Promise<Platform | undefined> {
  const { SLACK_BOT_TOKEN: botToken, SLACK_APP_TOKEN: appToken, SLACK_SIGNING_SECRET: signingSecret } = config
  const { HOST: host, SLACK_PORT: port, SLACK_API_URL: apiUrl } = config
  if (!botToken) return undefined
  const { createSlack } = await import('./bot/slack/index.ts')
  return createSlack({ botToken, appToken, signingSecret, host, port, apiUrl }, rooms)
}
