/** The one truth: what the rest of the house may ask of the stores, whatever lies beneath (an embedded file, Redis, a folder). */

import type { Job } from '../job/job.ts'

/** Jobs outlive their pictures: a button under a year-old result still finds its request. All reject with a StoreError. */
export interface JobStore {
  /** Resolves when the record would survive `kill -9`. Rejects when it could not be written. */
  put(job: Job): Promise<void>
  get(id: string): Promise<Job | undefined>
  /** Jobs whose last view has not reached its place yet (`answeredAt` unset), oldest first. */
  unanswered(): Promise<Job[]>
  /** A measured figure that a restart should know, such as a model's speed. */
  putMeasure(name: string, value: number): Promise<void>
  getMeasure(name: string): Promise<number | undefined>
  /** Writes something of no importance, to see whether anything can be written. */
  probe(): Promise<void>
  /** Aborts when another program has taken over; nothing can be written from then on. */
  readonly lost: AbortSignal
  close(): Promise<void>
}

/** Finished PNGs, kept for a stated time. All reject with a StoreError. */
export interface PictureStore {
  /** Whoever reads it meanwhile sees the whole file or none. */
  write(job: string, index: number, png: Uint8Array): Promise<void>
  /** Undefined when it expired or was deleted. */
  read(job: string, index: number): Promise<Buffer | undefined>
  /** Whether any picture of the job is there still. */
  has(job: string): Promise<boolean>
  remove(job: string): Promise<void>
  /** Writes something of no importance, to see whether anything can be written. */
  probe(): Promise<void>
  close(): void
}
