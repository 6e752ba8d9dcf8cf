/** What may come next in the line being typed: commands, options of `/imagine`, their values; nothing here draws. */

import { completions, type Option } from '../../../commands/options.ts'

export interface Completion {
  /** The part of the line that a choice replaces. */
  readonly from: number
  readonly to: number
  /** What the list is about, in one line. */
  readonly title: string
  readonly choices: readonly Choice[]
}

export interface Choice {
  readonly label: string
  readonly description: string
  /** Range and default. */
  readonly note: string
  readonly insert: string
}

/** A job that stands in the chat, for `/show`. */
export interface KnownJob {
  readonly job: string
  readonly prompt: string
}

export const COMMANDS: readonly Choice[] = [
  { label: '/imagine', description: 'Draw what you describe', note: 'prompt', insert: '/imagine ' },
  { label: '/show', description: 'Bring back a job, by its id', note: 'job', insert: '/show ' },
  { label: '/help', description: 'What you can say here', note: '', insert: '/help' },
]

/** Undefined where there is nothing to say. `caret` counts UTF-16 units, as a text field does. */
export function complete(
  line: string,
  caret: number,
  options: readonly Option[],
  jobs: readonly KnownJob[],
): Completion | undefined {
  const typed = line.slice(0, caret)
  if (/^\/\S*$/u.test(typed)) return commands(typed)
  const shown = /^\/show\s+(\S*)$/u.exec(typed)
  if (shown) return list('Jobs in this chat', shown[1]!, caret, jobs.map(jobChoice))
  if (/^\/(?!imagine\s)/u.test(typed)) return undefined
  if (/^\/imagine\s+$/u.test(typed)) return list('Say what to draw; -- offers the options', '', caret, [])
  const flags = options.filter(({ name }) => name !== 'prompt')
  return nameAt(typed, flags) ?? valueAt(typed, flags) ?? flagAt(typed, line, flags)
}

/** Which values there are, in words; empty where anything goes. */
export function rangeOf({ type, min, max }: Option): string {
  if (type === 'boolean') return 'true or false'
  return min === undefined || max === undefined ? '' : `${min} to ${max}`
}

function commands(typed: string): Completion | undefined {
  return list('Commands', typed, typed.length, COMMANDS)
}

function jobChoice({ job, prompt }: KnownJob): Choice {
  return { label: job, description: prompt, note: '', insert: job }
}

/** `a red apple --st` */
function flagAt(typed: string, line: string, flags: readonly Option[]): Completion | undefined {
  const match = /(?:^|\s)((?:--|—)((?:[a-z][a-z-]*)?))$/iu.exec(typed)
  if (!match) return undefined
  const begun = match[2]!.toLowerCase()
  const choices = flags
    .filter((option) => namesOf(option).some((name) => name.startsWith(begun)) && !isUsed(option, line))
    .filter(({ name, type }) => !(type === 'boolean' && name === begun))
    .map((option) => ({
      label: `--${option.name}`,
      description: option.description,
      note: [rangeOf(option), option.default && `default ${option.default}`].filter(Boolean).join(' · '),
      insert: `--${option.name} `,
    }))
  if (choices.length === 0) return undefined
  return { from: typed.length - match[1]!.length, to: typed.length, title: 'Options', choices }
}

/** Options whose values are files' names, with whatever people write in those. */
const NAMED: readonly string[] = ['model', 'lora']

/** `--model dream sha`: up to the next flag, spaces too, quoted or not. */
function nameAt(typed: string, flags: readonly Option[]): Completion | undefined {
  const match = /(?:^|\s)(?:--|—)([a-z]+)(?:\s+|=)("?)((?:(?!\s(?:--|—))[^"])*)$/iu.exec(typed)
  const option = match && flags.find(({ name }) => NAMED.includes(name) && name === match[1]!.toLowerCase())
  if (!option) return undefined
  const [quote, value] = [match[2]!, match[3]!]
  const all = completions(option, value)
  const isWhole = all.some((one) => one.toLowerCase() === value.trim().toLowerCase())
  if (all.length === 0 || isWhole) return undefined
  const choices = all.slice(0, MAX_NAMES).map((name) => ({
    label: name,
    description: '',
    note: name === option.default ? 'default' : '',
    insert: `${/[\s-]/u.test(name) && !name.includes('"') ? `"${name}"` : name} `,
  }))
  const more = all.length > MAX_NAMES ? ` (${all.length}, type on to narrow them down)` : ''
  const from = typed.length - quote.length - value.length
  return { from, to: typed.length, title: `${option.name}: ${option.description}${more}`, choices }
}

/** As many as can be looked through; Discord offers as many. */
const MAX_NAMES = 25

/** `--steps 5` */
function valueAt(typed: string, flags: readonly Option[]): Completion | undefined {
  const match = /(?:^|\s)(?:--|—)([a-z][a-z-]*)(?:\s+|=)(\S*)$/iu.exec(typed)
  const option = match && flags.find((flag) => namesOf(flag).includes(match[1]!.toLowerCase()))
  if (!option) return undefined
  const value = match[2]!
  const limits = [rangeOf(option), option.default && `left out: ${option.default}`].filter(Boolean).join(' · ')
  const title = `${option.name}: ${option.description}${limits && ` (${limits})`}`
  const others = valuesOf(option).filter(({ label }) => label !== value)
  const wrong = { from: typed.length, to: typed.length, title, choices: [] }
  if (option.type === 'boolean' && fits(option, value)) return undefined
  return list(title, value, typed.length, others) ?? (fits(option, value) ? undefined : wrong)
}

function valuesOf(option: Option): Choice[] {
  const { min, max, suggestions } = option
  const few = option.type === 'integer' && max! - min! < 8
  const values = suggestions ?? (few ? Array.from({ length: max! - min! + 1 }, (_, at) => String(min! + at)) : [])
  return values.map((value) => ({
    label: value,
    description: '',
    note: value === option.default ? 'default' : '',
    insert: `${value} `,
  }))
}

/** Those that begin with what stands there; what is complete needs no completing, and what is free text has nothing to offer. */
function list(title: string, begun: string, caret: number, all: readonly Choice[]): Completion | undefined {
  const lower = begun.toLowerCase()
  const choices = all.filter(({ label, insert }) => label.toLowerCase().startsWith(lower) && insert !== begun)
  return choices.length > 0 || begun === '' ? { from: caret - begun.length, to: caret, title, choices } : undefined
}

function fits({ type, min, max }: Option, value: string): boolean {
  if (type === 'boolean') return /^(?:true|false)?$/iu.test(value)
  return type === 'string' || (Number(value) >= min! && Number(value) <= max!)
}

function namesOf({ name, aliases = [] }: Option): string[] {
  return [name, ...aliases]
}

/** Each option may stand once. */
function isUsed(option: Option, line: string): boolean {
  return namesOf(option).some((name) => new RegExp(`(?:^|\\s)(?:--|—)${name}(?=[\\s=])`, 'iu').test(line))
}
