/** Whose turn it is: guilds take turns, and within a guild people do. Plain data, so it can be copied and played through. */

/** Any minute counts, not the clock's: no double burst around a boundary. */
export const RATE_INTERVAL_MS = 60_000

/** A job that waits. */
export interface Entry {
  readonly id: string
  readonly guild: string
  readonly person: string
}

interface Guild {
  /** Whose jobs wait, whoever is next first, and in which order. */
  readonly people: Map<string, Entry[]>
  /** When its latest jobs started, oldest first; as many as the rate limit counts. */
  readonly starts: number[]
  /** From when on it may go; the line is in this order. */
  since: number
  /** Who is being served, with their further jobs: they join the others, at the end, when this one is done. */
  serving: { readonly person: string; readonly jobs: Entry[] } | undefined
}

/** All times in milliseconds of one clock that never goes back. */
export class Turns {
  readonly #jobsPerMinute: number
  readonly #guilds = new Map<string, Guild>()
  /** Guilds with somebody waiting and nobody being served, by `since`. */
  readonly #line: Guild[] = []
  /** By id, for `remove`. */
  readonly #entries = new Map<string, Entry>()

  /** @param jobsPerMinute how many of a guild's jobs may start in any minute */
  constructor(jobsPerMinute: number) {
    this.#jobsPerMinute = jobsPerMinute
  }

  add(entry: Entry, now: number): void {
    const { id, person } = entry
    const guild = this.#guild(entry.guild)
    this.#entries.set(id, entry)
    const waits = guild.people.size > 0
    if (guild.serving?.person === person) guild.serving.jobs.push(entry)
    else if (guild.people.has(person)) guild.people.get(person)!.push(entry)
    else guild.people.set(person, [entry])
    if (!waits) this.#join(guild, now)
  }

  /** False for a job that does not wait (any more). */
  remove(id: string): boolean {
    const entry = this.#entries.get(id)
    if (!entry) return false
    this.#entries.delete(id)
    const guild = this.#guilds.get(entry.guild)!
    const jobs = guild.people.get(entry.person) ?? guild.serving!.jobs
    jobs.splice(jobs.indexOf(entry), 1)
    if (guild.people.get(entry.person)?.length === 0) guild.people.delete(entry.person)
    if (guild.people.size === 0) this.#leave(guild)
    return true
  }

  /** Chooses the next job, and takes it out of the line; nothing while all that wait are held back by the rate limit. */
  next(now: number): Entry | undefined {
    const guild = this.#line[0]
    if (!guild || guild.since > now) return undefined
    this.#line.shift()
    const [person, jobs] = guild.people.entries().next().value!
    const entry = jobs.shift()!
    guild.people.delete(person)
    guild.serving = { person, jobs }
    guild.starts.push(now)
    if (guild.starts.length > this.#jobsPerMinute) guild.starts.shift()
    this.#entries.delete(entry.id)
    return entry
  }

  /** What `next` gave is done. */
  finished(entry: Entry, now: number): void {
    const guild = this.#guilds.get(entry.guild)!
    const { person, jobs } = guild.serving!
    guild.serving = undefined
    if (jobs.length > 0) guild.people.set(person, jobs)
    this.#join(guild, now)
  }

  /** From when on `next` has something to give. */
  get freeAt(): number | undefined {
    return this.#line[0]?.since
  }

  /** How many guilds are remembered: those with jobs, and those whose rate limit still counts. */
  get size(): number {
    return this.#guilds.size
  }

  /** Forgets the guilds for which nothing counts any more. */
  forget(now: number): void {
    for (const [name, { people, serving, starts }] of this.#guilds) {
      const counts = (starts.at(-1) ?? Number.NEGATIVE_INFINITY) + RATE_INTERVAL_MS > now
      if (people.size === 0 && !serving && !counts) this.#guilds.delete(name)
    }
  }

  /** To be played through: `next`, `finished`, `freeAt`. */
  copy(): Turns {
    const copy = new Turns(this.#jobsPerMinute)
    const copies = new Map<Guild, Guild>()
    for (const [name, guild] of this.#guilds) {
      copies.set(guild, copyOf(guild))
      copy.#guilds.set(name, copies.get(guild)!)
    }
    for (const guild of this.#line) copy.#line.push(copies.get(guild)!)
    return copy
  }

  #guild(name: string): Guild {
    const known = this.#guilds.get(name)
    if (known) return known
    const guild: Guild = { people: new Map(), starts: [], since: 0, serving: undefined }
    this.#guilds.set(name, guild)
    return guild
  }

  #join(guild: Guild, now: number): void {
    if (guild.people.size === 0 || guild.serving) return
    const freed = (guild.starts.at(-this.#jobsPerMinute) ?? Number.NEGATIVE_INFINITY) + RATE_INTERVAL_MS
    guild.since = Math.max(now, freed)
    const place = this.#line.findLastIndex(({ since }) => since <= guild.since) + 1
    this.#line.splice(place, 0, guild)
  }

  #leave(guild: Guild): void {
    const place = this.#line.indexOf(guild)
    if (place >= 0) this.#line.splice(place, 1)
  }
}

function copyOf({ people, starts, since, serving }: Guild): Guild {
  return {
    people: new Map(Array.from(people, ([person, jobs]) => [person, jobs.slice()])),
    starts: [...starts],
    since,
    serving: serving && { ...serving, jobs: serving.jobs.slice() },
  }
}
