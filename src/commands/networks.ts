/** The models and LoRAs that a request may name: found by name, and written into the prompt as AUTOMATIC1111 has it. */

import { EngineError } from '../engine/errors.ts'
import type { Catalog, Model } from '../engine/process/engine.ts'
import { networkNamed, parseExtraNetworks } from '../engine/text/extra-networks.ts'
import { UserError } from '../job/errors.ts'
import type { OptionValue } from './options.ts'

/** @returns The model of that name, in any case; the program's own where none is named. @throws UserError `option` */
export function modelNamed(name: OptionValue | undefined, { models }: Pick<Catalog, 'models'>): Model {
  const wanted = String(name ?? '').trim()
  if (wanted === '') return models[0]!
  return named(wanted, models, 'model')
}

/**
 * The prompt with what the option `lora` names, `ink` or `ink:0.8`, several with commas between.
 * @throws UserError `option` for a LoRA that there is not, with the nearest names, in the option or in the prompt itself
 */
export function promptWithLoras(
  prompt: string,
  lora: OptionValue | undefined,
  { loras }: Pick<Catalog, 'loras'>,
): string {
  const wanted = String(lora ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
  const written = wanted.map((one) => `<lora:${/:[^:]*$/u.test(one) ? one : `${one}:1`}>`)
  const whole = [prompt, ...written].join(' ').trim()
  const parsed = inWords(() => parseExtraNetworks(whole))
  return parsed.loras.reduce((text, { name }) => {
    const { name: found } = named(name, loras, 'LoRA')
    if (found === name) return text
    return text.replaceAll(/(<(?:lora|lyco):)([^:>]+)/gu, (whole, start: string, one: string) =>
      one === name ? `${start}${found}` : whole,
    )
  }, whole)
}

/** By its name as it stands, or in another case where only one has it so. */
function named<File extends { readonly name: string }>(name: string, files: readonly File[], kind: string): File {
  const lower = name.toLowerCase()
  const alike = files.filter((file) => file.name.toLowerCase() === lower)
  if (alike.length === 1) return alike[0]!
  return inWords(() => networkNamed(name, files, kind))
}

function inWords<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof EngineError) throw new UserError('option', error.message, { cause: error })
    throw error
  }
}
