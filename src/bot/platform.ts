/** The platform's port: what a chat must offer so that the presenter can draw jobs in it, and what it is given. */

import type { Commands } from '../commands/commands.ts'
import { UserError } from '../job/errors.ts'
import type { Job } from '../job/job.ts'
import type { JobQueue } from '../queue/queue.ts'
import type { PictureStore } from '../store/store.ts'
import type { Presenter } from './presenter.ts'
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

/** The rooms that a platform's events lead to. */
export interface Rooms {
  readonly commands: Commands
  readonly queue: JobQueue
  readonly pictures: PictureStore
  readonly presenter: Presenter
  readonly log: Log
}

/** One line for the operator; never a secret, never a whole prompt. */
export type Log = (line: string) => void

/** The message or channel was deleted, or the bot was removed: nobody is there to be told. */
export class PlaceGoneError extends Error {
  override readonly name = 'PlaceGoneError'
}

/** What the person is told about an error; one that nobody foresaw goes to the log and gets an apology. */
export function sentenceOf(error: unknown, log: Log): string {
  if (error instanceof UserError) return error.message
  log(`unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 'Something went wrong on our side; please try again in a moment.'
}
