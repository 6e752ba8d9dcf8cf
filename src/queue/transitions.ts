/** How a job's record goes from one state to the next. */

import { isFinished, type Job } from '../job/job.ts'

/** How a job ends: its last state, and what it leaves. */
export type Ending = Pick<Job, 'state'> & Partial<Pick<Job, 'pictures' | 'model' | 'error' | 'drawnMs'>>

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

/** From the start, whatever became of it before. */
export function again({ startedAt: _, finishedAt: __, ...job }: Job): Job {
  return { ...job, state: 'queued', pictures: [] }
}

/** The message that shows it stands. */
export function placed(job: Job, message: string): Job {
  return { ...job, place: { ...job.place, message } }
}

/** Its last view reached its place. A job that is not finished has no last view yet. */
export function answered(job: Job): Job {
  return isFinished(job) ? { ...job, answeredAt: Date.now() } : job
}

/** Unanswered again, until its message is gone too. */
export function deleted({ answeredAt: _, ...job }: Job): Job {
  return { ...job, pictures: [], deletedAt: job.deletedAt ?? Date.now() }
}

/** `place.reply` is a secret that is not kept a moment longer than it is of use. */
export function withoutDeadReply(job: Job): Job {
  const isDead = job.place.reply !== undefined && job.place.reply.until <= Date.now()
  return job.answeredAt !== undefined || isDead ? withoutReply(job) : job
}

export function withoutReply(job: Job): Job {
  if (job.place.reply === undefined) return job
  const { reply: _, ...place } = job.place
  return { ...job, place }
}
