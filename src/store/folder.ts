/** Folders made as they are needed. */

import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * As `mkdir` with `recursive`, which in Node never returns where a file system says ENOENT for “not here”, as Linux's /proc
 * does.
 * @param mode of what is made: 0o700 for what is nobody else's business
 * @throws Error with the system's `code`
 */
export function makeFolder(folder: string, mode?: number): void {
  if (isFolder(folder)) return
  const parent = dirname(resolve(folder))
  if (!existsSync(parent)) makeFolder(parent, mode)
  try {
    mkdirSync(folder, mode)
  } catch (error) {
    // Somebody else may have been as fast.
    if (!isFolder(folder)) throw error
  }
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory()
}
