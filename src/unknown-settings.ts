/** Settings that nobody reads: a name in the environment that is nearly one of ours, or begins like ours and is none. */

import { settings } from './config.ts'
import { nearest } from './nearest.ts'

const KNOWN = Object.keys(settings.shape)
/** What begins so is meant for Seedling. */
const OURS = /^(?:SEEDLING|DISCORD|SLACK)_/i
/** Shorter names are too near to what other programs read: HOME, PORTS. */
const MIN_LENGTH = 7
/** So much of a name may differ where its beginning says that it is ours: DISCORD_BOT_TOKEN. */
const OUR_DISTANCE = 5

/** A sentence for each, with the nearest name that there is; never a value, which may be a secret. */
export function unknownSettings(environment: NodeJS.ProcessEnv): string[] {
  const unknown = Object.keys(environment).filter((name) => !KNOWN.includes(name))
  return unknown.sort().flatMap((name) => sentenceOf(name, environment) ?? [])
}

function sentenceOf(name: string, environment: NodeJS.ProcessEnv): string | undefined {
  const [prefix] = OURS.exec(name) ?? []
  if (prefix !== undefined) {
    const family = KNOWN.filter((known) => known.startsWith(prefix.toUpperCase()))
    const near = nearest(name, KNOWN) ?? nearest(name, family, OUR_DISTANCE)
    return `${name} is no setting, so nothing reads it; ${near ? `did you mean ${near}?` : 'see seedling start --help.'}`
  }
  if (name.length < MIN_LENGTH) return undefined
  const near = nearest(
    name,
    KNOWN.filter((known) => known.length >= MIN_LENGTH && !environment[known]),
  )
  return near && `${name} is no setting, so nothing reads it; did you mean ${near}?`
}
