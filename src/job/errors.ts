/** What is said to a person when a wish cannot be granted: one sentence that says what to do, shown as it stands. */

export type UserErrorCode =
  /** An option's value is wrong; the sentence names the option, the value and the range. */
  | 'option'
  /** Too many jobs are waiting already. */
  | 'limit'
  /** The job, or its pictures, are no longer there. */
  | 'gone'
  /** Only the author may do this. */
  | 'forbidden'
  /** Something outside failed (the store, the engine, the platform): try again later. */
  | 'unavailable'

/** The sentence of `gone` for a job that nobody knows, or that was deleted. */
export const JOB_GONE = 'That job is no longer there; use /imagine to draw again.'

export class UserError extends Error {
  override readonly name = 'UserError'
  readonly code: UserErrorCode

  constructor(code: UserErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
