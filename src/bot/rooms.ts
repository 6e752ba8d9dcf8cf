/** The rooms that a platform's events lead to, and what it tells a person when one of them refuses. */

import type { Commands } from '../commands/commands.ts'
import { UserError } from '../job/errors.ts'
import type { JobQueue } from '../queue/queue.ts'
import type { PictureStore } from '../store/store.ts'
import type { Log } from './platform.ts'
import type { Presenter } from './presenter.ts'

export interface Rooms {
  readonly commands: Commands
  readonly queue: JobQueue
  readonly pictures: PictureStore
  readonly presenter: Presenter
  readonly log: Log
}

/** What the person is told about an error; one that nobody foresaw goes to the log and gets an apology. */
export function sentenceOf(error: unknown, log: Log): string {
  if (error instanceof UserError) return error.message
  log(`unexpected: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return 'Something went wrong on our side; please try again in a moment.'
}
