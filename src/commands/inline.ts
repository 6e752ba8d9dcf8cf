/** Inline flags in a prompt: `a red apple --seed 7 --ar 16:9 --no leaves`, as people type them in chat. */

import { UserError } from '../job/errors.ts'
import type { Option, OptionValues } from './options.ts'

/**
 * Splits a typed line into the prompt and its flags. A flag's value reaches to the next ` --`; quotes around it are
 * dropped. `--seed=7` works as well. An em dash stands for `--`, since phones type it so.
 * @throws UserError for a flag that no option has, or one that stands twice or without a value.
 */
export function parseInline(text: string, options: readonly Option[]): OptionValues {
  const parts = text.replace(/(^|\s)—(?=[a-z])/giu, '$1--').split(/(?:^|\s+)--(?=[a-z])/iu)
  const values: OptionValues = { prompt: parts[0]!.trim() }
  for (const part of parts.slice(1)) {
    const [, flag, value] = /^([^\s=]+)[\s=]*([\s\S]*)$/u.exec(part)!
    const option = options.find(({ name, aliases }) =>
      [name, ...(aliases ?? [])].includes(flag!.toLowerCase() as never),
    )
    if (!option || option.name === 'prompt') throw new UserError('option', unknownFlag(flag!, options))
    if (values[option.name] !== undefined) {
      throw new UserError('option', `--${flag} stands twice; say each option once.`)
    }
    values[option.name] = flagValue(flag!, value!.trim())
  }
  return values
}

function flagValue(flag: string, text: string): string {
  const quoted = /^(["'“”])([\s\S]*)["'“”]$/u.exec(text)
  const value = quoted ? quoted[2]! : text
  if (value === '')
    throw new UserError('option', `--${flag} has no value; write it behind the flag, or leave the flag out.`)
  return value
}

function unknownFlag(flag: string, options: readonly Option[]): string {
  const known = options.filter(({ name }) => name !== 'prompt').map(({ name }) => `--${name}`)
  return `--${flag.slice(0, 40)} is not an option; use ${known.slice(0, -1).join(', ')} or ${known.at(-1)}.`
}
