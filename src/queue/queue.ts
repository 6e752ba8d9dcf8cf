/** When a job may run: what the rest of the house may ask of the queue. */

import type { EventEmitter } from 'node:events'
import type { Job, Progress } from '../job/job.ts'

export interface QueueEvents {
  /** A job's state, position, step or preview changed. */
  change: [job: Job, progress: Progress]
}

export interface JobQueue extends EventEmitter<QueueEvents> {
  /**
   * Stores a job and lines it up; when this resolves it survives `kill -9`.
   * @throws UserError `limit` when too many jobs of this author or this guild are waiting, in words.
   */
  add(job: Job): Promise<Job>
  /** The job as it stands now. */
  get(id: string): Promise<Job | undefined>
  /** What is known of it right now. */
  progress(id: string): Progress
  /** Records the message that shows the job. */
  placed(id: string, message: string): Promise<Job>
  /** Records that the last view reached its place. */
  answered(id: string): Promise<void>
  /** Ends a queued or running job; a finished one stays as it is. Who may do so is decided by `commands/`. */
  cancel(id: string): Promise<Job>
  /** Cancels it if need be, removes its pictures, and marks it deleted. */
  delete(id: string): Promise<Job>
  /** After a start: lines up again what was queued or running; returns every job that was not answered, to be shown again. */
  recover(): Promise<Job[]>
  /** Lets nothing new start, interrupts what runs (it stays queued in the store), and ends. */
  close(): Promise<void>
}
