/** What waits, in words for one person: how much in their place, and where their own jobs stand. */

import type { Context } from '../commands/commands.ts'
import type { Job } from '../job/job.ts'
import type { JobQueue } from '../queue/queue.ts'
import { viewOf } from './view.ts'

const SHOWN = 10

export function queueWords(queue: JobQueue, { author, place }: Context): string {
  const here = queue.unfinished().filter((job) => isAt(job, place.platform, place.guild))
  const own = queue.unfinished().filter((job) => job.author.id === author.id && job.place.platform === place.platform)
  if (here.length + own.length === 0) return 'Nothing is waiting here; what you ask for is drawn at once.'
  const count = here.length === 1 ? '1 job is' : `${here.length} jobs are`
  const lines = own.slice(0, SHOWN).map((job) => `${job.id}: ${viewOf(job, queue.progress(job.id)).status}`)
  return [`${count} waiting or being drawn here.`, ...(lines.length > 0 ? ['Yours:', ...lines] : [])].join('\n')
}

function isAt({ place }: Job, platform: string, guild: string): boolean {
  return place.platform === platform && place.guild === guild
}
