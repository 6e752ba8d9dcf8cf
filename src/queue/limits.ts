/** How many jobs may start and wait. Over the rate limit a job waits; over the caps on waiting it is refused. */

import { UserError } from '../job/errors.ts'
import type { Job } from '../job/job.ts'

export interface Limits {
  /** Jobs of one guild that may start in any minute; others wait. */
  readonly jobsPerMinute: number
  /** Jobs that one person may have waiting; more are refused. */
  readonly waitingPerPerson: number
  /** Jobs that a guild may have waiting. */
  readonly waitingPerGuild: number
}

/** What limits are counted by: one guild of one platform. */
export function guildOf({ place }: Job): string {
  return `${place.platform}:${place.guild}`
}

/** @throws UserError `limit` when `job` would be one too many beside those that wait already */
export function checkLimits(job: Job, waiting: readonly Job[], limits: Limits): void {
  const ofPerson = waiting.filter((other) => personOf(other) === personOf(job)).length
  if (ofPerson >= limits.waitingPerPerson) {
    throw new UserError(
      'limit',
      `You have ${jobs(ofPerson)} waiting, and ${limits.waitingPerPerson} is the most for one person; cancel one, or ask again when one has started.`,
    )
  }
  const ofGuild = waiting.filter((other) => guildOf(other) === guildOf(job)).length
  if (ofGuild >= limits.waitingPerGuild) {
    throw new UserError(
      'limit',
      `${jobs(ofGuild)} ${ofGuild === 1 ? 'is' : 'are'} waiting here, and ${limits.waitingPerGuild} is the most for one place; ask again when some are done.`,
    )
  }
}

function personOf({ author, place }: Job): string {
  return `${place.platform}:${author.id}`
}

function jobs(count: number): string {
  return count === 1 ? '1 job' : `${count} jobs`
}
