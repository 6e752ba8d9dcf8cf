/** Who may see a job, its pictures too, and draw from it; who may change it is its author alone. */

import type { Author, Job, Place } from '../job/job.ts'

/** Who asks, and where the answer goes. */
export interface Context {
  readonly author: Author
  readonly place: Place
  /** The id for a new job, where the event that asks for it may be delivered again (`jobIdOf`); any other unless set. */
  readonly newId?: string
}

/** Its author, and whoever is present in the guild or the channel where it was drawn. */
export function maySee(job: Job, { author, place }: Context): boolean {
  const { guild, channel } = job.place
  return (
    isSamePlatform(job, place) && (job.author.id === author.id || guild === place.guild || channel === place.channel)
  )
}

export function isAuthor(job: Job, { author, place }: Context): boolean {
  return isSamePlatform(job, place) && job.author.id === author.id
}

/** Ids are only unique within a platform. */
function isSamePlatform(job: Job, place: Place): boolean {
  return job.place.platform === place.platform
}
