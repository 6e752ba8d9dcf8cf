/** `seedling start`: the program with its settings from the environment; says what is on and what is off, until a signal. */

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { Platform } from './bot/platform.ts'
import { type Entry, NothingLeftError, startPlatforms } from './bot/platforms.ts'
import { createPlayground } from './bot/playground/index.ts'
import type { Rooms } from './bot/rooms.ts'
import { type Config, readConfig } from './config.ts'
import type { Model } from './engine/process/engine.ts'
import { startEngine } from './engine/process/host.ts'
import { engineOptions } from './engine-options.ts'
import { openProgram, type Program, type ProgramOptions } from './program.ts'
import { openJobStore } from './store/jobs.ts'
import { openPictureStore } from './store/pictures.ts'
import { unknownSettings } from './unknown-settings.ts'
import { VERSION } from './version.ts'

/** Runs until SIGINT or SIGTERM and gives the exit code; a start that fails says why in one sentence. */
export async function main(): Promise<number> {
  const signal = stopSignal()
  try {
    if (existsSync('.env')) process.loadEnvFile()
    for (const sentence of unknownSettings(process.env)) log(sentence)
    const config = readConfig(process.env)
    while (!signal.aborted) await run(config, signal)
    return 0
  } catch (error) {
    if (signal.aborted) return 0
    const what = error instanceof NothingLeftError ? 'has nothing left to serve' : 'cannot start'
    console.error(`Seedling ${what}: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

/** Until the signal, or until another program takes over; then this one waits for its turn again. */
async function run(config: Config, signal: AbortSignal): Promise<void> {
  const program = await openProgram(programOptions(config, signal))
  const ended = Promise.race([once(signal, 'abort'), once(program.jobs.lost, 'abort')])
  try {
    if (!signal.aborted) await Promise.race([serve(config, program, signal), ended])
    if (!signal.aborted) log('Another Seedling has taken over; this one stops serving, and waits.')
  } finally {
    await program.stop()
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

function programOptions(config: Config, signal: AbortSignal): ProgramOptions {
  const { SEEDLING_DATA: dataDir, REDIS_URL: redisUrl } = config
  return {
    openJobs: (signal) => openJobStore({ dataDir, redisUrl, log, signal }),
    openPictures: () => openPictureStore({ dataDir, days: config.SEEDLING_PICTURE_DAYS, log }),
    startEngine: (signal) =>
      startEngine({
        ...engineOptions(config),
        timeout: config.SEEDLING_ENGINE_TIMEOUT,
        log,
        signal,
      }),
    limits: {
      jobsPerMinute: config.SEEDLING_JOBS_PER_MINUTE,
      waitingPerPerson: config.SEEDLING_WAITING_PER_PERSON,
      waitingPerGuild: config.SEEDLING_WAITING_PER_GUILD,
    },
    variationStrength: config.SEEDLING_VARIATION_STRENGTH,
    maxSize: config.SEEDLING_MAX_SIZE,
    log,
    signal,
  }
}

function log(line: string): void {
  console.log(line)
}

/** Resolves never, and rejects where a platform's failure leaves nothing to serve. */
async function serve(config: Config, program: Program, signal: AbortSignal): Promise<void> {
  const { rooms, engine } = program
  log(`Seedling ${VERSION}, ${modelLine(engine.model)}`)
  const entries = await platformsOf(config, engine.model, rooms)
  const { started, ended } = startPlatforms({ entries, program, log, signal })
  await started
  await ended
}

function modelLine({ name, width, height, numInferenceSteps }: Model): string {
  return `model ${name} (${width}x${height}, ${numInferenceSteps} steps)`
}

async function platformsOf(config: Config, model: Model, rooms: Rooms): Promise<Entry[]> {
  const playground = createPlayground({ ...playgroundOf(config), model: model.name }, rooms)
  return [
    { name: 'Playground', platform: playground, address: () => playground.address },
    { name: 'Discord', platform: await discordOf(config, rooms), toTurnOn: 'DISCORD_TOKEN' },
    { name: 'Slack', platform: await slackOf(config, rooms), toTurnOn: 'SLACK_BOT_TOKEN and SLACK_APP_TOKEN' },
  ]
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
