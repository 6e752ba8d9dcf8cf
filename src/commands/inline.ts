/** Inline flags in a prompt: `a red apple --seed 7 --ar 16:9 --no leaves`, as people type them in chat. */

import { UserError } from '../job/errors.ts'
import { nearest } from '../nearest.ts'
import { insteadOf } from './foreign-flags.ts'
import { hasChoice, type Option, type OptionValues } from './options.ts'

/** Hyphens, dashes and minus signs: keyboards turn `--` into other ones, and phones offer them side by side. */
const DASH =
  '-\u02d7\u058a\u05be\u2010-\u2015\u2043\u2212\u2500\u2501\u2796\u2e3a\u2e3b\u2e40\ufe31\ufe32\ufe58\ufe63\uff0d'
/** As long as two. */
const LONG_DASH = /[\u2014\u2015\u2e3a\u2e3b\ufe31]/u
/** What shows nothing could part a dash from its flag. */
const HIDDEN = new RegExp(`(?<=[${DASH}])[\\p{Cf}\\p{Default_Ignorable_Code_Point}]+`, 'gu')
/** What may be a flag: dashes and a word behind them. After `--` there may be a space. */
const START = new RegExp(`(?<before>^|[^${DASH}])(?<dashes>[${DASH}]+|--\\s+)(?<name>[\\p{L}\\p{N}_][^\\s=]*)`, 'gu')
const QUOTED = /^["“]([^"“”]*)["”](?=\s|$)/u
/** More cannot all be options, so the first ones show what is wrong. */
const MAX_FLAGS = 100
/** More are not named one by one. */
const MAX_NAMED = 8

/** An option as far as a mistake is concerned. */
export type Offered = Pick<Option, 'aliases' | 'min' | 'max'> & { readonly name: string }

interface Flag {
  readonly name: string
  readonly start: number
  /** Where the name ends. */
  readonly end: number
}

/**
 * Splits a typed line into the prompt and its flags. A flag's value reaches to the next flag, or to its closing quote.
 * `--seed=7` works as well. Other dashes stand for `--`, since phones and word processors type them so; a single one does
 * where an option has that name.
 * @throws UserError for flags that no option has, or one that stands twice or without the value that it needs.
 */
export function parseInline(typed: string, options: readonly Option[]): OptionValues {
  const text = typed.replace(HIDDEN, '')
  const flags = flagsIn(text, options)
  requireKnown(flags, options)
  const values: OptionValues = { prompt: text.slice(0, flags[0]?.start).trim() }
  for (const [index, { name: flag, end }] of flags.entries()) {
    const { name, type } = optionOf(flag, options)!
    if (values[name] !== undefined) throw new UserError('option', `--${flag} stands twice; say each option once.`)
    const value = text.slice(end, flags[index + 1]?.start).replace(/^[\s=]+/u, '')
    const quoted = QUOTED.exec(value)
    values[name] = quoted?.[0] === value.trimEnd() ? quoted[1]! : value.trim()
    if (values[name] === '' && type === 'boolean') values[name] = true
    if (values[name] === '') {
      throw new UserError('option', `--${flag} has no value; write it behind the flag, or leave the flag out.`)
    }
  }
  return values
}

/** A word of a command line as the flag that it was meant for: `–seed` and `-seed` as `--seed`; undefined for all others. */
export function flagOf(typed: string, options: readonly Option[]): string | undefined {
  const word = typed.replace(HIDDEN, '')
  const [flag] = flagsIn(word, options)
  return flag && flag.start === 0 && flag.end === word.length ? `--${flag.name}` : undefined
}

/** What is said of flags that there are not: which one each was meant for, or what there is in its place. */
export function unknownFlags(names: readonly string[], options: readonly Offered[]): string {
  const offered = options.filter((option) => option.name !== 'prompt' && hasChoice(option))
  const known = offered.map(({ name }) => `--${name}`)
  const named = names.slice(0, MAX_NAMED).map((name) => {
    const hint = insteadOf(name) ?? meantBy(name, offered)
    return [`--${name.slice(0, 40)}`, hint ? ` (${hint})` : ''] as const
  })
  const [[flag, hint] = ['', '']] = named
  const what =
    named.length === 1
      ? `${flag} is not an option${hint}`
      : `${listOf(
          named.map((parts) => parts.join('')),
          'and',
        )} are no options`
  return `${what}; use ${listOf(known, 'or')}.`
}

function meantBy(name: string, options: readonly Offered[]): string | undefined {
  const near = nearest(name, options.flatMap(namesOf))
  return near && `did you mean --${near}?`
}

function flagsIn(text: string, options: readonly Option[]): Flag[] {
  const flags: Flag[] = []
  let quotedUntil = 0
  for (const match of text.matchAll(START)) {
    const { before, dashes, name } = match.groups as Record<'before' | 'dashes' | 'name', string>
    const [start, end] = [match.index + before.length, match.index + match[0].length]
    if (start < quotedUntil || !isFlag(before, dashes, name, text.slice(end), options)) continue
    flags.push({ name, start, end })
    if (flags.length === MAX_FLAGS) break
    quotedUntil = end + quotedLength(text.slice(end))
  }
  return flags
}

/** How far a value in quotes reaches that nothing but a flag follows: what looks like a flag in it is none. */
function quotedLength(rest: string): number {
  const before = /^[\s=]*/u.exec(rest)![0].length
  const quoted = QUOTED.exec(rest.slice(before))
  if (!quoted) return 0
  const behind = rest.slice(before + quoted[0].length)
  return new RegExp(`^\\s*($|[${DASH}]+\\p{L})`, 'u').test(behind) ? before + quoted[0].length : 0
}

/**
 * Two dashes, or one as long as two, always begin a flag; one short dash may be part of the prompt, and so may two without a
 * space before them.
 */
function isFlag(before: string, dashes: string, name: string, rest: string, options: readonly Option[]): boolean {
  const isOption = optionOf(name, options) !== undefined
  const hasNumber = /^[\s=]+[-+.]?\d/u.test(rest)
  if (/\S/u.test(before)) {
    const isApart = /[^\p{L}\p{N}]/u.test(before)
    const isForeign = isApart && hasNumber && insteadOf(name) !== undefined
    return dashes === '--' && (isForeign || (isOption && (hasNumber || isApart)))
  }
  if (/\s/u.test(dashes)) return isOption && hasNumber
  if (/^-{2,}$/u.test(dashes)) return true
  if (dashes.length > 1 || LONG_DASH.test(dashes)) return /^[a-z]/iu.test(name)
  if (name.length === 1) return hasNumber && (isOption || insteadOf(name) !== undefined)
  return isOption || (insteadOf(name) !== undefined && new RegExp(`^[\\s=]*($|[${DASH}\\d])`, 'u').test(rest))
}

function requireKnown(flags: readonly Flag[], options: readonly Option[]): void {
  const unknown = flags.map(({ name }) => name).filter((name) => !optionOf(name, options))
  if (unknown.length > 0) throw new UserError('option', unknownFlags([...new Set(unknown)], options))
}

function optionOf(flag: string, options: readonly Option[]): Option | undefined {
  const word = flag.toLowerCase()
  return options.find((option) => option.name !== 'prompt' && namesOf(option).includes(word))
}

function namesOf({ name, aliases = [] }: Offered): readonly string[] {
  return [name, ...aliases]
}

function listOf(names: readonly string[], joint: string): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} ${joint} ${names.at(-1)}`
}
