/** What is said of an argument that cannot work. */

import { EngineError } from '../errors.ts'

export function wrong(name: string, shouldBe: string, value: unknown): EngineError {
  const shown = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return new EngineError('argument', `\`${name}\` has to be ${shouldBe} but is ${shown.slice(0, 80)}.`)
}
