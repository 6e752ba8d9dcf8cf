/** What is said of an argument that cannot work. */

import { EngineError } from '../errors.ts'
import { nearestNames } from '../nearest-names.ts'

export function wrong(name: string, shouldBe: string, value: unknown): EngineError {
  const shown = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return new EngineError('argument', `\`${name}\` has to be ${shouldBe} but is ${shown.slice(0, 80)}.`)
}

/**
 * What is not understood would otherwise be left out in silence, and another picture drawn than was asked for.
 * @param known Each name that there is.
 * @throws EngineError 'argument' for the first other one that has a value, with the nearest that there is.
 */
export function refuseUnknown(what: string, given: object, known: object): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(known, name)) continue
    const [near] = nearestNames(name, Object.keys(known), 1)
    const cure = near === undefined ? 'leave it out' : `did you mean \`${near}\`?`
    throw new EngineError('argument', `There is no ${what} \`${name.slice(0, 80)}\`; ${cure}${near ? '' : '.'}`)
  }
}
