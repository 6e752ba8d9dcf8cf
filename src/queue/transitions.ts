/** How a job's record goes from one state to the next. */

import type { Job } from '../job/job.ts'

/** How a job ends: its last state, and what it leaves. */
export type Ending = Pick<Job, 'state'> & Partial<Pick<Job, 'pictures' | 'error'>>

export function started(job: Job): Job {
  return { ...job, state: 'running', startedAt: Date.now(), attempts: job.attempts + 1 }
}

export function ended(job: Job, end: Ending): Job {
  return { ...job, ...end, finishedAt: Date.now() }
}

/** By an orderly stop: it will run again as if it never had. */
export function interrupted(job: Job): Job {
  if (job.state !== 'running') return job
  const { startedAt: _, ...rest } = job
  return { ...rest, state: 'queued', attempts: job.attempts - 1 }
}

/** Nothing is left to draw, so the secret way to its message is forgotten. */
export function answered(job: Job): Job {
  return { ...withoutReply(job), answeredAt: Date.now() }
}

export function withoutReply(job: Job): Job {
  const { reply: _, ...place } = job.place
  return { ...job, place }
}

/** Unanswered again, until its message is gone too. */
export function deleted({ answeredAt: _, ...job }: Job): Job {
  return { ...job, pictures: [], deletedAt: job.deletedAt ?? Date.now() }
}
