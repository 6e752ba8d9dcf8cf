/** Whose turn it is: a PQueue for each guild, with its rate limit, in front of one for the engine. */

import PQueue from 'p-queue'
import type { Line } from './forecast.ts'

export const RATE_INTERVAL_MS = 60_000

interface Guild {
  readonly queue: PQueue
  /** Ids that have not joined the engine's line yet, in order. */
  readonly waiting: string[]
  /** When the latest ones joined it, oldest first; as many as the rate limit counts. */
  readonly starts: number[]
  dropping: NodeJS.Timeout | undefined
}

/**
 * A guild has one job at a time in the engine's line, and its next one joins at the end of it: so the guilds take turns, and
 * fifty jobs of one delay another's only one by one.
 */
export class FairQueue {
  readonly #jobsPerMinute: number
  readonly #guilds = new Map<string, Guild>()
  readonly #engine = new PQueue({ concurrency: 1 })
  /** The engine's line: guild by id. */
  readonly #admitted = new Map<string, string>()
  #running: { id: string; guild: string } | undefined

  constructor(jobsPerMinute: number) {
    this.#jobsPerMinute = jobsPerMinute
  }

  /**
   * Runs `task` in its turn, and resolves when it has ended.
   * @param signal takes a waiting job out of the line; `task` must not be aborted by it
   * @throws the signal's reason, or what `task` throws
   */
  async add(id: string, guildName: string, signal: AbortSignal, task: () => Promise<void>): Promise<void> {
    const guild = this.#guild(guildName)
    guild.waiting.push(id)
    try {
      await guild.queue.add(
        () => {
          this.#admit(id, guildName, guild)
          return this.#engine.add(() => this.#run(id, guildName, task), { signal })
        },
        { signal },
      )
    } finally {
      removeFrom(guild.waiting, id)
      this.#admitted.delete(id)
    }
  }

  /** Everything that waits, as `forecast` wants it. */
  get line(): Line {
    return {
      jobsPerMinute: this.#jobsPerMinute,
      running: this.#running,
      admitted: [...this.#admitted].map(([id, guild]) => ({ id, guild })),
      guilds: this.#guilds,
    }
  }

  /** How many guilds are remembered: those with jobs, and those whose rate limit still counts. */
  get size(): number {
    return this.#guilds.size
  }

  /** Nothing starts any more. */
  close(): void {
    this.#engine.clear()
    for (const { queue, dropping } of this.#guilds.values()) {
      queue.pause()
      queue.clear()
      clearTimeout(dropping)
    }
    this.#guilds.clear()
    this.#admitted.clear()
  }

  #guild(name: string): Guild {
    const known = this.#guilds.get(name)
    if (known) return known
    const queue = new PQueue({
      concurrency: 1,
      intervalCap: this.#jobsPerMinute,
      interval: RATE_INTERVAL_MS,
      strict: true, // Any minute, not the clock's: no double burst around a boundary.
    })
    const guild: Guild = { queue, waiting: [], starts: [], dropping: undefined }
    queue.on('idle', () => this.#dropLater(name, guild))
    this.#guilds.set(name, guild)
    return guild
  }

  #admit(id: string, guildName: string, { waiting, starts }: Guild): void {
    removeFrom(waiting, id)
    starts.push(Date.now())
    if (starts.length > this.#jobsPerMinute) starts.shift()
    this.#admitted.set(id, guildName)
  }

  async #run(id: string, guild: string, task: () => Promise<void>): Promise<void> {
    this.#admitted.delete(id)
    this.#running = { id, guild }
    try {
      await task()
    } finally {
      this.#running = undefined
    }
  }

  /** An idle guild is forgotten when its rate limit has nothing left to count. */
  #dropLater(name: string, guild: Guild): void {
    clearTimeout(guild.dropping)
    guild.dropping = setTimeout(() => {
      if (guild.queue.size + guild.queue.pending === 0) this.#guilds.delete(name)
    }, RATE_INTERVAL_MS).unref()
  }
}

function removeFrom(list: string[], id: string): void {
  const index = list.indexOf(id)
  if (index >= 0) list.splice(index, 1)
}
