/** Every setting once: its environment variable, type, default and meaning; all mistakes are reported together. */

import { z } from 'zod'
import { DTYPES } from './engine/models/graph-choice.ts'

const DEVICES = ['auto', 'cpu', 'cuda', 'tensorrt', 'dml', 'coreml', 'webgpu'] as const
const positive = z.coerce.number({ error: 'must be a whole number from 1' }).int().positive()
const port = z.coerce.number({ error: 'must be a port, 0 to 65535' }).int().min(0).max(65535)
const url = z.url({ protocol: /^https?$/, error: 'must be an http(s) address' })
const secret = (prefix: string) => z.string().startsWith(prefix, `must begin with ${prefix}`).optional()
/** No other secret of Discord's has this form: not the client secret, not the public key, not `Bot` and a token. */
const DISCORD_TOKEN_FORM =
  'must be three parts with dots between, as the developer portal shows it under Bot, Reset Token'

/** The keys are the environment variables; `description` is what the README's table says. */
export const settings = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address that the playground listens on'),
  PORT: port.default(3000).describe('Port that the playground listens on'),
  SEEDLING_PAGE_PASSWORD: z
    .string()
    .optional()
    .describe('Password of the playground where others can reach it; without one, start prints a link that lets in'),
  SEEDLING_TRUST_PROXY: z
    .stringbool({ error: 'must be true or false' })
    .default(false)
    .describe('Whether a reverse proxy stands in front of the playground, whose X-Forwarded-For can be trusted'),
  SEEDLING_MODEL: z
    .string()
    .optional()
    .describe(
      'The model: a folder, a file, a name out of SEEDLING_MODELS, or an id on the Hugging Face hub; the embedded one, or the first of SEEDLING_MODELS, unless set',
    ),
  SEEDLING_MODELS: z
    .string()
    .optional()
    .describe('Folder of models, LoRAs and embeddings to choose from, as AUTOMATIC1111, Forge and ComfyUI lay it out'),
  SEEDLING_VAE: z.string().optional().describe("VAE in place of the model's own, or for models that lack one"),
  SEEDLING_MODEL_MEMORY: positive
    .optional()
    .describe('Gigabytes that the weights of open models may take together; half of what is free unless set'),
  SEEDLING_DATA: z.string().default('./data').describe('Folder of jobs and pictures'),
  SEEDLING_DEVICE: z
    .enum(DEVICES, { error: `must be one of ${DEVICES.join(', ')}` })
    .default('auto')
    .describe('What the model runs on'),
  SEEDLING_DTYPE: z
    .enum(DTYPES, { error: `must be one of ${DTYPES.join(', ')}` })
    .default('auto')
    .describe(
      'Precision; int8, on the CPU, takes a third of the memory and about half the time, and draws slightly otherwise',
    ),
  SEEDLING_CACHE: z
    .string()
    .optional()
    .describe('Folder of optimised copies of large models; `seedling` in XDG_CACHE_HOME or `~/.cache` unless set'),
  SEEDLING_CACHE_GB: z.coerce
    .number({ error: 'must be a number of gigabytes, 0 or more' })
    .min(0)
    .default(20)
    .describe('Gigabytes that the copies may take; those used least recently go first, and 0 keeps none'),
  SEEDLING_MEMORY_CHECK: z
    .enum(['on', 'off'], { error: 'must be on or off' })
    .default('on')
    .describe('Whether a model that is larger than the memory that is free is refused'),
  SEEDLING_ENGINE_TIMEOUT: positive
    .default(30)
    .describe('Seconds without a step after which a frozen engine is started again; longer where steps are slow'),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/, error: 'must be a redis:// address' })
    .optional()
    .describe('Keeps jobs in Redis in place of a file in SEEDLING_DATA'),
  DISCORD_TOKEN: z
    .string()
    .trim()
    .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/, DISCORD_TOKEN_FORM)
    .optional()
    .describe("Turns Discord on: the bot's token"),
  DISCORD_API_URL: url.default('https://discord.com/api').describe("Discord's REST address"),
  SLACK_BOT_TOKEN: secret('xoxb-').describe("Turns Slack on: the bot's token, with one of the next two"),
  SLACK_APP_TOKEN: secret('xapp-').describe('Slack by Socket Mode: the app-level token'),
  SLACK_SIGNING_SECRET: z.string().optional().describe('Slack by HTTP: the signing secret'),
  SLACK_PORT: port.default(3001).describe('Port for Slack by HTTP'),
  SLACK_API_URL: url.default('https://slack.com/api/').describe("Slack's Web API address"),
  HF_ENDPOINT: url.default('https://huggingface.co').describe('Hub that models are loaded from'),
  HF_TOKEN: z.string().optional().describe('Token for models of the hub that need one'),
  SEEDLING_JOBS_PER_MINUTE: positive.default(30).describe('Jobs that may start per guild and minute; others wait'),
  SEEDLING_WAITING_PER_PERSON: positive.default(5).describe('Jobs that one person may have waiting'),
  SEEDLING_WAITING_PER_GUILD: positive.default(50).describe('People who may have jobs waiting in a guild'),
  SEEDLING_PICTURE_DAYS: positive.default(30).describe('Days that pictures are kept'),
  SEEDLING_MAX_SIZE: z.coerce
    .number({ error: 'must be a whole number from 1 to 4096' })
    .int()
    .min(1)
    .max(4096)
    .optional()
    .describe("Longest side in pixels; twice the model's own unless set"),
  SEEDLING_VARIATION_STRENGTH: z.coerce
    .number({ error: 'must be a number above 0, at most 1' })
    .gt(0)
    .max(1)
    .default(0.25)
    .describe('How far a variation lies from its picture, 0 to 1'),
})

export type Config = z.infer<typeof settings>

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the settings; an empty variable counts as unset.
 * @throws ConfigError that names every wrong one, without its value: it may be a secret
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()))
  const parsed = settings.safeParse(set)
  const mistakes = parsed.success ? slackMistakes(parsed.data) : parsed.error.issues.map(mistakeOf)
  if (mistakes.length > 0)
    throw new ConfigError(`These settings are wrong; correct them in .env: ${mistakes.join('; ')}.`)
  return parsed.data!
}

/** The same for a command that serves no chat: the chats' settings are none of its business, right or wrong. */
export function readOwnConfig(environment: NodeJS.ProcessEnv): Config {
  return readConfig(Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith('SEEDLING_'))))
}

function mistakeOf({ path, message }: { path: PropertyKey[]; message: string }): string {
  return `${path.join('.')}: ${message}`
}

function slackMistakes(config: Config): string[] {
  const [bot, other] = [config.SLACK_BOT_TOKEN, config.SLACK_APP_TOKEN ?? config.SLACK_SIGNING_SECRET]
  if (bot && !other)
    return ['SLACK_BOT_TOKEN: needs SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP) beside it']
  if (!bot && other) return ['SLACK_APP_TOKEN or SLACK_SIGNING_SECRET: needs SLACK_BOT_TOKEN beside it']
  return []
}
