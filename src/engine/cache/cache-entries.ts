/**
 * Folders of files that were made of a model, each named after all that it was made of. Several processes share them: an
 * entry appears whole, by renaming, and is never changed; what is used least goes when there is no room.
 */

import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type CacheSetting, cacheFolder, cacheLimit } from './cache-folder.ts'

/** An entry that this process uses; while it does, nobody takes it away. */
export interface CacheEntry {
  readonly path: string
  /** To be called once it is used no more. */
  release(): void
}

/** An entry that is being made. */
export interface Draft {
  /** An empty folder beside its place. */
  readonly path: string
  /** Puts it in its place; nothing where that fails. An entry that another process put there meanwhile is as good. */
  keep(): CacheEntry | undefined
  discard(): void
}

/** What a file is known by, without reading it: replaced, changed or moved, it is another. */
export function fileIdentity(path: string): string {
  const real = realpathSync(path)
  const { size, mtimeNs, ino } = statSync(real, { bigint: true })
  return `${real}\n${size}\n${mtimeNs}\n${ino}`
}

/** A name for an entry: what it is, and a hash over all that it is made of. */
export function entryKey(kind: string, ...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}\n`).update(part)
  return `${kind}-${hash.digest('hex').slice(0, 40)}`
}

/** @returns Nothing where there is no such entry. */
export function openEntry(folder: string, key: string): CacheEntry | undefined {
  const path = join(folder, key)
  if (!existsSync(path)) return undefined
  return inUse(path)
}

/**
 * @param size How many bytes it will have, about.
 * @returns Nothing where the folder cannot be written, the disk has no room, or so much is not to be kept
 */
export function beginEntry(folder: string, key: string, size: number): Draft | undefined {
  try {
    if (size > cacheLimit()) return undefined
    mkdirSync(folder, { recursive: true })
    removeAbandoned(folder)
    makeRoom(folder, cacheLimit() - size)
    if (freeBytes(folder) < size + LEFT_FREE) return undefined
    const path = mkdtempSync(join(folder, DRAFT))
    const release = inUse(path).release
    return {
      path,
      keep() {
        release()
        return keep(path, join(folder, key))
      },
      discard() {
        release()
        remove(path)
      },
    }
  } catch {
    return undefined
  }
}

/** Takes a broken entry away, so that it is made again. */
export function dropEntry(folder: string, key: string): void {
  remove(join(folder, key))
}

export interface Pruned {
  /** How many entries were taken away. */
  readonly entries: number
  readonly bytes: number
}

/** Takes everything away that no process uses. */
export function pruneCache(setting?: CacheSetting): Pruned {
  const folder = cacheFolder(setting)
  if (folder === undefined || !existsSync(folder)) return { entries: 0, bytes: 0 }
  removeAbandoned(folder)
  return makeRoom(folder, 0)
}

/** Never the last bytes of a disk that others need too. */
const LEFT_FREE = 2 ** 30

const DRAFT = '.draft-'

/** The mark of a process that uses an entry. */
const USER = '.used-by-'

const ENTRY = /^(?:int8|optimised)-[0-9a-f]{40}$/

function keep(draft: string, path: string): CacheEntry | undefined {
  try {
    renameSync(draft, path)
  } catch {
    remove(draft)
    if (!existsSync(path)) return undefined
  }
  return inUse(path)
}

/** Marks it as used now, for this and the other processes; a folder that cannot be written is used all the same. */
function inUse(path: string): CacheEntry {
  const mark = join(path, `${USER}${process.pid}-${startOf(process.pid)}-${++uses}`)
  try {
    writeFileSync(mark, '')
    const now = new Date()
    utimesSync(path, now, now)
  } catch {}
  return { path, release: () => remove(mark) }
}

let uses = 0

/** Least recently used first, until no more than `most` bytes are left. */
function makeRoom(folder: string, most: number): Pruned {
  const entries = readdirSync(folder)
    .filter((name) => ENTRY.test(name))
    .flatMap((name) => described(join(folder, name)) ?? [])
    .sort((a, b) => a.usedAt - b.usedAt)
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  const pruned = { entries: 0, bytes: 0 }
  for (const { path, bytes } of entries) {
    if (total <= most) break
    if (isUsed(path) || !remove(path)) continue
    total -= bytes
    pruned.entries++
    pruned.bytes += bytes
  }
  return pruned
}

/** Nothing where another process took it away meanwhile. */
function described(path: string): { path: string; bytes: number; usedAt: number } | undefined {
  try {
    const bytes = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
    return { path, bytes, usedAt: statSync(path).mtimeMs }
  } catch {
    return undefined
  }
}

/** What processes left that ended while they made it. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name.startsWith(DRAFT) && !isUsed(path) && isOld(path)) remove(path)
  }
}

/** A draft is marked a moment after it is made. */
const NEW_MS = 60_000

function isOld(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs > NEW_MS
  } catch {
    return false
  }
}

function isUsed(path: string): boolean {
  try {
    return readdirSync(path).some((name) => name.startsWith(USER) && isAlive(name.slice(USER.length)))
  } catch {
    return false
  }
}

function isAlive(user: string): boolean {
  const [pid = '', start = ''] = user.split('-')
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    // Somebody else's process is alive too.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return start === startOf(Number(pid))
}

/** When a process began, in the kernel's ticks: numbers of processes come again, and in a container are always the same. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

function remove(path: string): boolean {
  try {
    rmSync(path, { recursive: true, force: true })
    return true
  } catch {
    return false
  }
}
