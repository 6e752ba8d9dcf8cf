/** A file read here and there: files of weights have gigabytes, and what says where they lie is small. */

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { EngineError } from '../errors.ts'
import { weightError } from './weight-error.ts'

export interface ByteFile {
  /** Absolute. */
  readonly path: string
  /** In bytes. */
  readonly size: number
  /** @throws EngineError 'model' where the file ends before `to`. */
  read(from: number, to: number): Buffer
}

/**
 * Opens a file for as long as `use` needs it.
 *
 * @throws EngineError 'model' when there is no such file, or it cannot be read, or `use` failed on what it holds.
 */
export function withFile<Result>(path: string, use: (file: ByteFile) => Result): Result {
  const absolute = resolve(path)
  // A pipe or a device would be opened for ever.
  const entry = statSync(absolute, { throwIfNoEntry: false })
  if (!entry) throw new EngineError('model', `There is no file ${path}; check the path.`)
  if (!entry.isFile()) throw weightError(path, 'is no file; give a file of weights.')
  const handle = open(absolute)
  try {
    const { size } = fstatSync(handle)
    return use({ path: absolute, size, read: (from, to) => read(handle, absolute, from, to) })
  } finally {
    closeSync(handle)
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw weightError(path, `cannot be read (${(error as NodeJS.ErrnoException).code}); check who may read it.`, error)
  }
}

function read(handle: number, path: string, from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from)
  let done = 0
  while (done < bytes.length) {
    const count = readSync(handle, bytes, done, bytes.length - done, from + done)
    if (count === 0) throw weightError(path, 'ends too early: it is half-downloaded; download it again.')
    done += count
  }
  return bytes
}
