/** Every error that the engine throws on purpose: a code for programs and one sentence that says what to do for people. */

export type EngineErrorCode =
  /** The path or repository is no pipeline, or a file of it is missing, unreadable or half-downloaded. */
  | 'model'
  /** The graph needs an operator, a type or a provider that this device lacks. */
  | 'device'
  /** An argument of `generate()` or of a scheduler is out of range. */
  | 'argument'
  /** The model computed NaN or infinity. */
  | 'numeric'
  /** The safety checker flagged the image and the caller asked for refusal. */
  | 'nsfw'
  /** The engine process ended in the middle of the work. */
  | 'crashed'

/** `message` is one sentence that a person can act on. An aborted `signal` throws its own `reason` instead, as `fetch` does. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: EngineErrorCode

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
