/** The platform's port: what a chat must offer so that the presenter can draw jobs in it. */

import type { Job } from '../job/job.ts'
import type { Budget } from './budget.ts'
import type { View } from './view.ts'

export interface Platform {
  /** As in `Place.platform`. */
  readonly name: string
  /** Milliseconds between two edits of a channel's messages that only show progress. */
  readonly editIntervalMs: number
  /** What all channels together may spend on such edits; without it each counts alone. */
  readonly budget?: Budget
  /**
   * Connects, and resolves when members can be served.
   * @throws Error with one sentence for the operator, such as a token that was refused.
   */
  start(): Promise<void>
  /** Lets nothing new in and disconnects. */
  stop(): Promise<void>
  /** Resolves with such a sentence when the platform ends for good after it was started, such as by a revoked token. */
  readonly failed?: Promise<Error>
  /** Posts a job's view as a new message in its place (no `message` yet) and gives the message's id. */
  post(job: Job, view: View): Promise<string>
  /** Redraws the message that shows the job. */
  edit(job: Job, view: View): Promise<void>
  /** Removes that message; a message that is gone already is no error. */
  remove(job: Job): Promise<void>
}

// `post`, `edit` and `remove` throw one of these three, or whatever passes and is tried again. Which failures pass stands
// in one list a platform, in its `errors.ts`; every other code is one of these.

/** The message or its channel was deleted: nobody is there to be told, and what is drawn for it is drawn for nobody. */
export class PlaceGoneError extends Error {
  override readonly name = 'PlaceGoneError'
}

/** The message stands, but we cannot change it any more; whoever clicks one of its buttons brings a new way to it. */
export class OutOfReachError extends Error {
  override readonly name = 'OutOfReachError'
}

/** The platform refuses for good. The sentence is for the job's author: why, and what to do. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  /** The platform's own code, for the log. */
  readonly code: string

  constructor(code: string | number, sentence: string, options?: ErrorOptions) {
    super(sentence, options)
    this.code = String(code)
  }
}

/** One line for the operator; never a secret, never a whole prompt. */
export type Log = (line: string) => void
