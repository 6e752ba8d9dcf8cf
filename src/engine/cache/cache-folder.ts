/** Where Seedling keeps what it made of models and can make again: optimised copies, weights in eight bits. */

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { EngineError } from '../errors.ts'

/** A folder of one's own; `null` or `false` keeps nothing. */
export type CacheSetting = string | null | false | undefined

/** The folder: `SEEDLING_CACHE`, or `seedling` in `XDG_CACHE_HOME` or `~/.cache`. */
export function cacheFolder(setting?: CacheSetting, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (setting === null || setting === false) return undefined
  if (setting) return resolve(setting)
  if (env.SEEDLING_CACHE) return resolve(env.SEEDLING_CACHE)
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'seedling')
}

/** Copies of a few models of any family. */
const DEFAULT_GB = 20

/**
 * How many bytes it may take: `SEEDLING_CACHE_GB` gigabytes.
 * @throws EngineError 'argument' where that is no number of 0 or more
 */
export function cacheLimit(env: NodeJS.ProcessEnv = process.env): number {
  const given = env.SEEDLING_CACHE_GB?.trim()
  const gigabytes = given ? Number(given) : DEFAULT_GB
  if (!(gigabytes >= 0))
    throw new EngineError(
      'argument',
      `SEEDLING_CACHE_GB is "${given}"; give a number of gigabytes such as 20, or 0 to keep nothing.`,
    )
  return gigabytes * 1e9
}
