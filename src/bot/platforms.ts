/** Starts the platforms side by side: one that fails for good is down alone, and says so. */

import type { Log, Platform } from './platform.ts'

/** A platform as the operator knows it. */
export interface Entry {
  readonly name: string
  readonly platform: Platform | undefined
  /** What to set where it is not turned on. */
  readonly toTurnOn?: string
  /** Where it is reached, once it was started. */
  readonly address?: () => string
}

export interface PlatformsOptions {
  readonly entries: readonly Entry[]
  /** What draws jobs in a platform from the moment that it is added, and serves it once it is started. */
  readonly program: {
    add(platform: Platform): void
    /** Each takes up its unanswered jobs as soon as it is connected: one that is away holds up no other. */
    start(platform: Platform): Promise<void>
  }
  readonly log: Log
  /** Aborts when the program stops; what ends then has not failed. */
  readonly signal: AbortSignal
}

export interface Platforms {
  /** Resolves when each platform serves, or has failed. @throws Error with why, when none is left */
  readonly started: Promise<void>
  /** Rejects with a NothingLeftError when none is left. */
  readonly ended: Promise<never>
}

/** Every platform has failed for good; the message is the last one's. */
export class NothingLeftError extends Error {
  override readonly name = 'NothingLeftError'
}

export function startPlatforms({ entries, program, log, signal }: PlatformsOptions): Platforms {
  const on = entries.flatMap(({ platform }) => platform ?? [])
  const alive = new Set(on)
  let end: (reason: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    end = reject
  })
  const ended = failed.catch((error: Error) => {
    throw new NothingLeftError(error.message, { cause: error })
  })
  ended.catch(() => {})

  async function start({ name, platform, toTurnOn, address }: Entry): Promise<void> {
    const say = (what: string) => log(`${name.padEnd(12)}${what}`)
    if (!platform) return say(`off: set ${toTurnOn} (README, "${name} in five steps")`)
    const goDown = (error: Error) => {
      if (signal.aborted || !alive.delete(platform)) return
      say(`down: ${error.message}`)
      void platform.stop().catch(() => {})
      if (alive.size === 0) end(error)
    }
    void platform.failed?.then(goDown)
    try {
      await program.start(platform)
    } catch (error) {
      return goDown(error as Error)
    }
    if (alive.has(platform)) say(address ? `on: ${address()}` : 'on')
  }

  for (const platform of on) program.add(platform)
  return { started: Promise.race([Promise.all(entries.map(start)).then(() => {}), failed]), ended }
}
