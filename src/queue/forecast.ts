/** Where each waiting job stands in line and when it will be done: the fair queue, played through on paper. */

/** The fair queue as it stands. */
export interface Line {
  readonly jobsPerMinute: number
  /** The job at the engine. */
  readonly running: { readonly id: string; readonly guild: string } | undefined
  /** The engine's line: one job a guild at most. */
  readonly admitted: readonly { readonly id: string; readonly guild: string }[]
  /** By guild: the ids behind, in order, and when its latest ones joined the engine's line (ms), oldest first. */
  readonly guilds: ReadonlyMap<string, { readonly waiting: readonly string[]; readonly starts: readonly number[] }>
}

export interface Forecast {
  /** 1 = next. */
  readonly position: number
  /** Milliseconds since the epoch. */
  readonly doneAt: number
}

export interface ForecastOptions {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** When the rate limit lets a guild's `jobsPerMinute + 1`st job start after the first. */
  readonly intervalMs: number
  /** How long a job takes at the engine, from now if it is there already. */
  readonly msOf: (id: string) => number
}

/** By id, for everything that waits. */
export function forecast(line: Line, { now, intervalMs, msOf }: ForecastOptions): Map<string, Forecast> {
  const forecasts = new Map<string, Forecast>()
  const engineLine = [...line.admitted]
  const behind = new Map([...line.guilds].map(([name, guild]) => [name, { ...copied(guild), next: 0 }]))
  /** Guilds whose next job waits for the rate limit alone. */
  const limited: { guild: string; at: number }[] = []
  let time = now + (line.running ? msOf(line.running.id) : 0)

  const queueUp = (guild: string, earliest: number) => {
    const { waiting, starts, next } = behind.get(guild) ?? { waiting: [], starts: [], next: 0 }
    if (next >= waiting.length) return
    const freed = (starts.at(-line.jobsPerMinute) ?? Number.NEGATIVE_INFINITY) + intervalMs
    const at = Math.max(earliest, freed)
    const later = limited.findLastIndex((other) => other.at <= at) + 1
    limited.splice(later, 0, { guild, at })
  }
  const admitUntil = (until: number) => {
    while (limited.length > 0 && limited[0]!.at <= until) {
      const { guild, at } = limited.shift()!
      const { waiting, starts, next } = behind.get(guild)!
      starts.push(at)
      behind.get(guild)!.next++
      engineLine.push({ id: waiting[next]!, guild })
    }
  }

  const atEngine = new Set(engineLine.map(({ guild }) => guild))
  for (const guild of behind.keys()) {
    if (!atEngine.has(guild) && guild !== line.running?.guild) queueUp(guild, now)
  }
  if (line.running) queueUp(line.running.guild, time)
  for (let position = 1; ; position++) {
    admitUntil(time)
    if (engineLine.length === 0) {
      if (limited.length === 0) return forecasts
      time = limited[0]!.at
      admitUntil(time)
    }
    const { id, guild } = engineLine.shift()!
    time += msOf(id)
    forecasts.set(id, { position, doneAt: time })
    queueUp(guild, time)
  }
}

function copied({ waiting, starts }: { waiting: readonly string[]; starts: readonly number[] }) {
  return { waiting: [...waiting], starts: [...starts] }
}
