/** Inline flags in a prompt: `a red apple --seed 7 --ar 16:9 --no leaves`, as people type them in chat. */

import { UserError } from '../job/errors.ts'
import { hasChoice, type Option, type OptionValues } from './options.ts'

/** A flag and its value: quoted, or everything up to the next flag. */
const FLAG =
  /(?:^|\s)--([a-z][^\s=]*)(?:=|\s(?!--[a-z]))*(?:["“]([^"“”]*)["”](?=\s+--[a-z]|\s*$)|((?:(?!\s--[a-z])[\s\S])*))/giu

/**
 * Splits a typed line into the prompt and its flags. A flag's value reaches to the next ` --`, or to its closing quote.
 * `--seed=7` works as well. An em dash stands for `--`, since phones type it so.
 * @throws UserError for a flag that no option has, or one that stands twice or without the value that it needs.
 */
export function parseInline(text: string, options: readonly Option[]): OptionValues {
  const line = text.replace(/(^|\s)—(?=[a-z])/giu, '$1--')
  const flags = [...line.matchAll(FLAG)]
  const values: OptionValues = { prompt: line.slice(0, flags[0]?.index).trim() }
  for (const [, flag, quoted, plain] of flags) {
    const { name, type } = optionOf(flag!, options)
    if (values[name] !== undefined) throw new UserError('option', `--${flag} stands twice; say each option once.`)
    values[name] = quoted ?? plain!.trim()
    if (values[name] === '' && type === 'boolean') values[name] = true
    if (values[name] === '') {
      throw new UserError('option', `--${flag} has no value; write it behind the flag, or leave the flag out.`)
    }
  }
  return values
}

function optionOf(flag: string, options: readonly Option[]): Option {
  const word = flag.toLowerCase()
  const option = options.find(({ name, aliases }) => name === word || aliases?.includes(word))
  if (!option || option.name === 'prompt') throw new UserError('option', unknownFlag(flag, options))
  return option
}

function unknownFlag(flag: string, options: readonly Option[]): string {
  const offered = options.filter((option) => option.name !== 'prompt' && hasChoice(option))
  const known = offered.map(({ name }) => `--${name}`)
  return `--${flag.slice(0, 40)} is not an option; use ${known.slice(0, -1).join(', ')} or ${known.at(-1)}.`
}
