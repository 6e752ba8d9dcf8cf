/** Starts the platforms side by side: one that fails for good is down alone, and says so. */

import type { Job } from '../job/job.ts'
import type { Log, Platform } from './platform.ts'
import type { Presenter } from './presenter.ts'

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
  readonly presenter: Presenter
  readonly log: Log
  /** Lines up what a restart left, and gives it; called once, when the first platform serves. */
  readonly recover: () => Promise<readonly Job[]>
  /** Aborts when the program stops; what ends then has not failed. */
  readonly signal: AbortSignal
}

export interface Platforms {
  /** Resolves when each platform serves, or has failed. @throws Error with why, when none is left */
  readonly started: Promise<void>
  /** Rejects with the last one's reason when none is left. */
  readonly ended: Promise<never>
  stop(): Promise<void>
}

export function startPlatforms({ entries, presenter, log, recover, signal }: PlatformsOptions): Platforms {
  const on = entries.flatMap(({ platform }) => platform ?? [])
  const alive = new Set(on)
  let end: (reason: Error) => void = () => {}
  const ended = new Promise<never>((_, reject) => {
    end = reject
  })
  ended.catch(() => {})
  let recovered: Promise<readonly Job[]> | undefined

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
      await platform.start()
    } catch (error) {
      return goDown(error as Error)
    }
    if (!alive.has(platform)) return
    say(address ? `on: ${address()}` : 'on')
    recovered ??= recover()
    for (const job of await recovered) if (job.place.platform === platform.name) presenter.resume(job)
  }

  for (const platform of on) presenter.add(platform)
  return {
    started: Promise.race([Promise.all(entries.map(start)).then(() => {}), ended]),
    ended,
    async stop() {
      // First, so that what it is drawing is still drawn.
      await presenter.stop()
      for (const platform of on.toReversed()) await platform.stop()
    },
  }
}
