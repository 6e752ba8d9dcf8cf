/** How many jobs may start and wait. Over the rate limit a job waits; over the caps on waiting it is refused. */

import { UserError } from '../job/errors.ts'
import type { Job } from '../job/job.ts'

export interface Limits {
  /** Jobs of one guild that may start in any minute; others wait. */
  readonly jobsPerMinute: number
  /** Jobs that one person may have waiting; more are refused. */
  readonly waitingPerPerson: number
  /** People of a guild who may have jobs waiting; a further one is refused. */
  readonly waitingPerGuild: number
}

/** What limits are counted by: one guild of one platform. */
export function guildOf({ place }: Job): string {
  return `${place.platform}:${place.guild}`
}

/** One person of one platform, in whichever guild. */
export function personOf({ author, place }: Job): string {
  return `${place.platform}:${author.id}`
}

/** Counts who has jobs waiting, and where. */
export class Waiting {
  /** Jobs by person. */
  readonly #people = new Map<string, number>()
  /** By guild: jobs by person. */
  readonly #guilds = new Map<string, Map<string, number>>()

  add(job: Job): void {
    const [guild, person] = [guildOf(job), personOf(job)]
    if (!this.#guilds.has(guild)) this.#guilds.set(guild, new Map())
    count(this.#guilds.get(guild)!, person, 1)
    count(this.#people, person, 1)
  }

  remove(job: Job): void {
    const [guild, person] = [guildOf(job), personOf(job)]
    count(this.#people, person, -1)
    const people = this.#guilds.get(guild)!
    count(people, person, -1)
    if (people.size === 0) this.#guilds.delete(guild)
  }

  /** @throws UserError `limit` when `job` would be one too many beside those that wait already */
  check(job: Job, { waitingPerPerson, waitingPerGuild }: Limits): void {
    const own = this.#people.get(personOf(job)) ?? 0
    if (own >= waitingPerPerson) {
      throw new UserError(
        'limit',
        `You have ${jobs(own)} waiting, and ${waitingPerPerson} is the most for one person; cancel one, or ask again when one has started.`,
      )
    }
    const people = this.#guilds.get(guildOf(job))
    if (people && people.size >= waitingPerGuild && !people.has(personOf(job))) {
      throw new UserError(
        'limit',
        `${people.size === 1 ? '1 person has' : `${people.size} people have`} jobs waiting here, and ${waitingPerGuild} is the most for one place; ask again when some are done.`,
      )
    }
  }
}

/** None is the same as not being there. */
function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const sum = (counts.get(key) ?? 0) + by
  if (sum === 0) counts.delete(key)
  else counts.set(key, sum)
}

function jobs(count: number): string {
  return count === 1 ? '1 job' : `${count} jobs`
}
