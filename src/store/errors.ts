/** What went wrong with a file, a folder or a server that holds jobs or pictures, in one sentence that says what to do. */

export type StoreErrorCode =
  /** The disk, the quota or Redis' memory is full. */
  | 'full'
  /** Permissions, a read-only file system, or something else lies where the folder should be. */
  | 'denied'
  /** Another program holds the database. */
  | 'locked'
  /** The file is no database, or a broken one. */
  | 'damaged'
  /** Redis does not answer. */
  | 'unreachable'
  /** Another version of Seedling, or another program, wrote it. */
  | 'version'
  /** Another program has taken over what this one kept. */
  | 'lost'
  /** Anything else that the system reported. */
  | 'failed'

/** Meant for whoever runs Seedling: it names paths, which are nobody else's business. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

const codes: readonly (readonly [RegExp, StoreErrorCode])[] = [
  [/^(ENOSPC|EDQUOT|EFBIG|SQLITE_FULL|SQLITE_IOERR_WRITE)$/, 'full'],
  [/^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST|EISDIR|ENOENT|SQLITE_READONLY.*|SQLITE_CANTOPEN.*|SQLITE_PERM)$/, 'denied'],
  [/^(SQLITE_BUSY.*|SQLITE_LOCKED.*)$/, 'locked'],
  [/^SQLITE_ERROR$/, 'version'],
  [/^(SQLITE_CORRUPT.*|SQLITE_NOTADB|SQLITE_IOERR_SHORT_READ)$/, 'damaged'],
]

const sentences: Record<StoreErrorCode, (path: string, reason: string) => string> = {
  full: (path) => `${path} cannot be written, as if the disk were full: free some space, then try again.`,
  denied: (path, reason) =>
    `${path} cannot be written (${reason}): let Seedling's user write there, or set SEEDLING_DATA to another folder.`,
  locked: (path) => `${path} is in use by another Seedling: stop that one, or set SEEDLING_DATA to another folder.`,
  damaged: (path) => `${path} is damaged: put a backup in its place, or move it away to start without old jobs.`,
  unreachable: (path, reason) => `${path} does not answer (${reason}).`,
  version: (path, reason) =>
    `${path} holds other tables than Seedling's (${reason}): set SEEDLING_DATA to another folder.`,
  lost: (path) => `Another Seedling has taken over the jobs in ${path}.`,
  failed: (path, reason) => `${path} failed: ${reason}.`,
}

/** Names what Node or SQLite reported about a path. */
export function storeError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error
  const { code = '', message } = error as Error & { code?: string }
  const kind = codes.find(([pattern]) => pattern.test(code))?.[1] ?? 'failed'
  const reason = kind === 'version' ? message : code || message
  return new StoreError(kind, sentences[kind](path, reason), { cause: error })
}
