/** What is said of a file of weights that cannot be used, and how names out of it are shown: nobody vouches for either. */

import { EngineError } from '../errors.ts'

/** @param what The rest of the sentence: what the file is or has, and what to do. */
export function weightError(path: string, what: string, cause?: unknown): EngineError {
  return new EngineError('model', `${path} ${what}`, cause === undefined ? undefined : { cause })
}

const LONGEST_SHOWN = 100

/** A name from a file, for a message: short, on one line, between backquotes. */
export function quoted(name: string): string {
  const line = name.replace(/[^\P{C}]/gu, '?').replaceAll('`', "'")
  return `\`${line.length > LONGEST_SHOWN ? `${line.slice(0, LONGEST_SHOWN)}…` : line}\``
}
