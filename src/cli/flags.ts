/** The flags of `seedling imagine`: those of `/imagine`, from the same table, and where pictures go and come from. */

import { parseArgs } from 'node:util'
import { flagOf, parseInline, unknownFlags } from '../commands/inline.ts'
import { imagineOptions, type Option, type OptionValues } from '../commands/options.ts'

/** What a machine of one's own may be asked for: nobody else waits for it. */
export const MAX_COUNT = 10_000

export interface Flags {
  /** As typed; checked once the model is known. */
  readonly values: OptionValues
  readonly out: string
  readonly model?: string
  readonly device?: string
  readonly dtype?: string
  /** A picture to make again. */
  readonly from?: string
  readonly json: boolean
  readonly help: boolean
}

/** The call itself is wrong: an unknown flag, or flags that do not go together. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The options that may follow the prompt; the prompt itself is what stands without a flag. */
const OPTIONS = imagineOptions(undefined, Number.POSITIVE_INFINITY, MAX_COUNT).filter(({ name }) => name !== 'prompt')

const OWN = {
  out: { type: 'string', default: 'output' },
  model: { type: 'string' },
  device: { type: 'string' },
  dtype: { type: 'string' },
  from: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const KNOWN = [...OPTIONS, ...Object.keys(OWN).map((name) => ({ name }))]

/** @throws UsageError, or UserError `option` for flags inside the prompt that cannot be read */
export function parseFlags(args: string[]): Flags {
  const { values, positionals } = parse(args.map(withHyphens))
  const { out, model, device, dtype, from, json, help, ...typed } = values
  const options = optionValues(positionals, typed)
  if (from !== undefined && Object.keys(options).length > 0) {
    throw new UsageError('--from takes everything from the picture; leave out the prompt and its options.')
  }
  return {
    values: options,
    out,
    json,
    help,
    ...(model !== undefined && { model }),
    ...(device !== undefined && { device }),
    ...(dtype !== undefined && { dtype }),
    ...(from !== undefined && { from }),
  }
}

type Parsed = Partial<Record<'model' | 'device' | 'dtype' | 'from', string>> & {
  readonly out: string
  readonly json: boolean
  readonly help: boolean
}

function parse(args: string[]): { values: Parsed; positionals: string[] } {
  const derived = OPTIONS.flatMap(({ name, type, aliases = [] }) => {
    const flag = type === 'boolean' ? type : 'string'
    const short = aliases.find((alias) => alias.length === 1)
    const long = aliases.filter((alias) => alias.length > 1)
    return [[name, { type: flag, ...(short && { short }) }], ...long.map((alias) => [alias, { type: flag }])]
  })
  try {
    const parsed = parseArgs({ args, options: { ...Object.fromEntries(derived), ...OWN }, allowPositionals: true })
    return { values: parsed.values as unknown as Parsed, positionals: parsed.positionals }
  } catch (error) {
    const { message } = error as Error
    const unknown = unknownOption(message)
    throw new UsageError(unknown === undefined ? message : unknownFlags([unknown], KNOWN))
  }
}

/** The option that `parseArgs` does not know, by what it says. */
export function unknownOption(message: string): string | undefined {
  return /^Unknown option '-{1,2}([^']*)'/u.exec(message)?.[1]
}

/** `–seed` and `-seed` as `--seed`, as in a chat. */
function withHyphens(arg: string): string {
  const [, word, rest] = /^([^\s=]*)(=[\s\S]*)?$/u.exec(arg) ?? []
  const flag = word && flagOf(word, OPTIONS)
  return flag ? `${flag}${rest ?? ''}` : arg
}

/** What stands without a flag is the prompt, and may have flags inside its quotes, as people bring them from a chat. */
function promptValues(positionals: string[]): OptionValues {
  if (positionals.length === 0) return {}
  const line = positionals.join(' ')
  const own = Object.keys(OWN).find((name) => new RegExp(`(?:^|\\s)--${name}(?=[\\s=]|$)`, 'u').test(line))
  if (own) throw new UsageError(`--${own} stands inside the prompt; write it outside of the quotes.`)
  return parseInline(line, OPTIONS)
}

function optionValues(positionals: string[], typed: Record<string, string | boolean | undefined>): OptionValues {
  const values = promptValues(positionals)
  for (const { name, aliases = [] } of OPTIONS) {
    const given = [name, ...aliases].filter((flag) => typed[flag] !== undefined)
    if (given.length > 1) throw new UsageError(`${given.map((flag) => `--${flag}`).join(' and ')} are the same option.`)
    if (given[0] === undefined) continue
    if (values[name] !== undefined) {
      throw new UsageError(`--${given[0]} stands inside the prompt and outside of it; say it once.`)
    }
    values[name] = typed[given[0]]!
  }
  return values
}

export function helpText(): string {
  return `Usage: seedling imagine PROMPT [options]

Writes image_1.png, image_2.png … into a folder, one seed after another; files of that name are replaced. Each carries
its parameters, and --from makes it again. A side may be twice as long as the model's own; SEEDLING_MAX_SIZE allows more.

${OPTIONS.map(optionLine).join('\n')}

${OWN_LINES.map(([flag, text]) => line(flag, text)).join('\n')}

seedling imagine "a red apple" --seed 1 --count 100 --out output/
seedling imagine --from output/image_7.png --out again/`
}

const OWN_LINES = [
  ['--out FOLDER', 'Where the pictures go; created where it is missing (default: output)'],
  [
    '--model MODEL',
    'A folder, a file, a name in SEEDLING_MODELS or a hub id (default: SEEDLING_MODEL, or the embedded one)',
  ],
  ['--device DEVICE', 'What it runs on: auto, cpu, cuda … (default: SEEDLING_DEVICE, or auto)'],
  ['--dtype DTYPE', 'Its precision: auto, fp32, fp16, int8 (default: SEEDLING_DTYPE, or auto)'],
  ['--from PICTURE', 'Make the picture in this PNG again, by the parameters that it carries'],
  ['--json', 'One JSON object a picture, for programs'],
] as const

function optionLine({ name, aliases = [], min, max, description, default: usual }: Option): string {
  const flags = [name, ...aliases].map((flag) => (flag.length === 1 ? `-${flag}` : `--${flag}`)).join(', ')
  const range = min === undefined ? '' : `, ${min} to ${max}`
  return line(flags, `${description}${range} (default: ${usual})`)
}

function line(flags: string, text: string): string {
  return `  ${flags.padEnd(18)}${text}`
}
