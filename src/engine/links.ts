/** Links in a model's folder: one that leads out of it could name any file of this machine. */

import { readdirSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { EngineError } from './errors.ts'

/** A pipeline's folder has parts, and those have files. */
const DEPTH = 2

/** The hub's cache links to its blobs, from its snapshots and, in its older versions, from folders of the user's. */
const HUB_BLOB = /[\\/]models--[^\\/]+[\\/]blobs[\\/][^\\/]+$/

/**
 * The folder may itself be reached by a link.
 * @throws EngineError 'model' for a link that leads elsewhere
 */
export function requireOwnFiles(folder: string): void {
  const root = realpathSync(folder)
  for (const link of linksIn(root, DEPTH)) {
    const target = targetOf(link)
    if (target === undefined || target.startsWith(root + sep) || HUB_BLOB.test(target)) continue
    throw new EngineError(
      'model',
      `${link} is a link out of the model's folder; put the file itself in its place, or give it as an option of its own.`,
    )
  }
}

function* linksIn(folder: string, depth: number): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isSymbolicLink()) yield path
    else if (entry.isDirectory() && depth > 1) yield* linksIn(path, depth - 1)
  }
}

/** Nothing for a link to nothing, which is as good as no file. */
function targetOf(link: string): string | undefined {
  try {
    return realpathSync(link)
  } catch {
    return undefined
  }
}
