/** `seedling start`: the program with its settings from the environment; says what is on and what is off, until a signal. */

import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from './bot/platform.ts'
import { createPlayground } from './bot/playground/index.ts'
import type { Rooms } from './bot/rooms.ts'
import { type Config, readConfig } from './config.ts'
import { EMBEDDED_MODEL } from './embedded-model.ts'
import type { Model } from './engine/process/engine.ts'
import { startEngine } from './engine/process/host.ts'
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
    console.error(`Seedling cannot start: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}

/** Until the signal, or until another program takes over; then this one waits for its turn again. */
async function run(config: Config, signal: AbortSignal): Promise<void> {
  const program = await openProgram(programOptions(config, signal))
  const ended = Promise.race([once(signal, 'abort'), once(program.jobs.lost, 'abort')])
  try {
    if (!signal.aborted) await Promise.race([serve(config, program), ended])
    if (!signal.aborted) await ended
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
        model: config.SEEDLING_MODEL ?? EMBEDDED_MODEL,
        device: config.SEEDLING_DEVICE,
        dtype: config.SEEDLING_DTYPE,
        cacheDir: join(dataDir, 'cache'),
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

/** Each chat takes up its unanswered jobs as soon as it is connected: one that is away holds up no other. */
async function serve(config: Config, program: Program): Promise<void> {
  const { rooms, engine } = program
  log(`Seedling ${VERSION}, ${modelLine(engine.model)}`)
  const playground = createPlayground({ ...playgroundOf(config), model: engine.model.name }, rooms)
  const chats = [
    { name: 'Discord', platform: await discordOf(config, rooms), toTurnOn: 'DISCORD_TOKEN' },
    { name: 'Slack', platform: await slackOf(config, rooms), toTurnOn: 'SLACK_BOT_TOKEN and SLACK_APP_TOKEN' },
  ]
  for (const platform of [playground, ...chats.flatMap((chat) => chat.platform ?? [])]) program.add(platform)
  await program.start(playground)
  log(`Playground  on: ${playground.address}`)
  await Promise.all(
    chats.map(async ({ name, platform, toTurnOn }) => {
      if (!platform) return log(`${name.padEnd(12)}off: set ${toTurnOn} (README, "${name} in five steps")`)
      await program.start(platform)
      log(`${name.padEnd(12)}on`)
    }),
  )
}

function modelLine({ name, width, height, numInferenceSteps }: Model): string {
  return `model ${name} (${width}x${height}, ${numInferenceSteps} steps)`
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
