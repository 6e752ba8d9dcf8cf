/** The platform's port: what a chat must offer so that the presenter can draw jobs in it. */

import type { Job } from '../job/job.ts'
import type { View } from './view.ts'

export interface Platform {
  /** As in `Place.platform`. */
  readonly name: string
  /** Milliseconds between two edits of a channel's messages that only show progress. */
  readonly editIntervalMs: number
  /**
   * Connects, and resolves when members can be served.
   * @throws Error with one sentence for the operator, such as a token that was refused.
   */
  start(): Promise<void>
  /** Lets nothing new in and disconnects. */
  stop(): Promise<void>
  /** Posts a job's view as a new message in its place (no `message` yet) and gives the message's id. */
  post(job: Job, view: View): Promise<string>
  /** Redraws the message that shows the job. @throws PlaceGoneError */
  edit(job: Job, view: View): Promise<void>
  /** Removes that message; a message that is gone already is no error. */
  remove(job: Job): Promise<void>
}

/** One line for the operator; never a secret, never a whole prompt. */
export type Log = (line: string) => void

/** The message or channel was deleted, or the bot was removed: nobody is there to be told. */
export class PlaceGoneError extends Error {
  override readonly name = 'PlaceGoneError'
}
