/** Whether a message whose button was clicked says what is no longer so. */

import type { Action } from '../commands/actions.ts'
import { isFinished, type Job } from '../job/job.ts'

export type Staleness =
  | 'fresh'
  /** The job has ended, and the message does not say so. */
  | 'outdated'
  /** The job was deleted. */
  | 'gone'

/** @param job as it stands; undefined where nobody knows it */
export function staleness(action: Action, job: Job | undefined): Staleness {
  const asksForNews = action === 'cancel' || action === 'show'
  if (job?.deletedAt || (!job && asksForNews)) return 'gone'
  const isOutdated = action === 'show' || (action === 'cancel' && job !== undefined && isFinished(job))
  return isOutdated ? 'outdated' : 'fresh'
}
