/** The whole program: starts the rooms in order, says what is on and what is off, and stops them in reverse. */

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Log, Platform } from './bot/platform.ts'
import { type Entry, type Platforms, startPlatforms } from './bot/platforms.ts'
import { createPlayground } from './bot/playground/index.ts'
import { Presenter } from './bot/presenter.ts'
import type { Rooms } from './bot/rooms.ts'
import { Commands } from './commands/commands.ts'
import { type Config, readConfig } from './config.ts'
import { EMBEDDED_MODEL } from './embedded-model.ts'
import type { Model } from './engine/process/engine.ts'
import { startEngine } from './engine/process/host.ts'
import { JobQueue } from './queue/queue.ts'
import { openJobStore } from './store/jobs.ts'
import { openPictureStore } from './store/pictures.ts'
import { VERSION } from './version.ts'

/** What must be ended, in the order in which it was begun. */
type Stops = (() => Promise<void> | void)[]

/** Runs until SIGINT or SIGTERM and gives the exit code; a start that fails says why in one sentence. */
export async function main(): Promise<number> {
  const log: Log = (line) => console.log(line)
  const stops: Stops = []
  const signal = stopSignal()
  let hasStarted = false
  try {
    const stopped = once(signal, 'abort')
    if (existsSync('.env')) process.loadEnvFile()
    const running = start(readConfig(process.env), stops, log, signal).then(async (platforms) => {
      await platforms.started
      hasStarted = true
      await platforms.ended
    })
    await Promise.race([running, stopped])
    return 0
  } catch (error) {
    const what = hasStarted ? 'has nothing left to serve' : 'cannot start'
    console.error(`Seedling ${what}: ${error instanceof Error ? error.message : String(error)}`)
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

async function start(config: Config, stops: Stops, log: Log, signal: AbortSignal): Promise<Platforms> {
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
    maxSize: config.SEEDLING_MAX_SIZE ?? 2 * Math.max(engine.model.width, engine.model.height),
  })
  log(`Seedling ${VERSION}, ${modelLine(engine.model)}`)
  const entries = await platformsOf(config, engine.model, { commands, queue, pictures, presenter, log })
  const platforms = startPlatforms({ entries, presenter, log, recover: () => queue.recover(), signal })
  stops.push(() => platforms.stop())
  return platforms
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

async function platformsOf(config: Config, model: Model, rooms: Rooms): Promise<Entry[]> {
  const playground = createPlayground({ host: config.HOST, port: config.PORT, model: model.name }, rooms)
  return [
    { name: 'Playground', platform: playground, address: () => playground.address },
    { name: 'Discord', platform: await discordOf(config, rooms), toTurnOn: 'DISCORD_TOKEN' },
    { name: 'Slack', platform: await slackOf(config, rooms), toTurnOn: 'SLACK_BOT_TOKEN and SLACK_APP_TOKEN' },
  ]
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
