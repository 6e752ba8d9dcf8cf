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
  /** The caller's `signal` was aborted. */
  | 'aborted'
  /** The engine process ended in the middle of the work. */
  | 'crashed'

/** `message` is one sentence that a person can act on. */
export class EngineError extends Error {
  /** `EngineError`, but `AbortError` where the signal was aborted, which is how others name it. */
  override readonly name: 'EngineError' | 'AbortError'
  readonly code: EngineErrorCode

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = code === 'aborted' ? 'AbortError' : 'EngineError'
    this.code = code
  }
}

/** @throws the signal's `reason` where its owner gave one, as `fetch` does, else EngineError 'aborted'. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  const { reason } = signal
  const isUnsaid = reason instanceof DOMException && reason.name === 'AbortError'
  if (!isUnsaid) throw reason
  throw new EngineError('aborted', 'The signal was aborted before the images were done; call again to make them.', {
    cause: reason,
  })
}
