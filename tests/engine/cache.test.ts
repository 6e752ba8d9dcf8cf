import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it, vi } from 'vitest'
import { beginEntry, entryKey, fileIdentity, openEntry, pruneCache } from '../../src/engine/cache/cache-entries.ts'
import { cacheFolder, cacheLimit } from '../../src/engine/cache/cache-folder.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

afterEach(() => vi.unstubAllEnvs())

const MB = 1e6

/** An entry of so many megabytes, last used so many hours ago. */
function kept(folder: string, name: string, megabytes: number, hoursAgo: number): string {
  const key = entryKey('optimised', name)
  const draft = beginEntry(folder, key, megabytes * MB)!
  writeFileSync(join(draft.path, 'weights.bin'), new Uint8Array(megabytes * MB))
  draft.keep()!.release()
  const then = new Date(Date.now() - hoursAgo * 3_600_000)
  utimesSync(join(folder, key), then, then)
  return key
}

it('lies where the settings say', () => {
  expect(cacheFolder('/a', {})).toBe('/a')
  expect(cacheFolder(undefined, { SEEDLING_CACHE: '/b', XDG_CACHE_HOME: '/c' })).toBe('/b')
  expect(cacheFolder(undefined, { XDG_CACHE_HOME: '/c' })).toBe('/c/seedling')
  expect(cacheFolder(undefined, {})).toBe(join(homedir(), '.cache/seedling'))
  expect([cacheFolder(null, { SEEDLING_CACHE: '/b' }), cacheFolder(false)]).toEqual([undefined, undefined])
  expect(cacheLimit({ SEEDLING_CACHE_GB: '0.5' })).toBe(0.5e9)
  expect(() => cacheLimit({ SEEDLING_CACHE_GB: 'much' })).toThrow('SEEDLING_CACHE_GB is "much"; give a number')
})

it('what was used least recently goes first, and never what is in use', () => {
  vi.stubEnv('SEEDLING_CACHE_GB', '0.01')
  const folder = temporaryFolder()
  const oldest = kept(folder, 'oldest', 4, 3)
  const middle = kept(folder, 'middle', 4, 2)
  openEntry(folder, oldest)!.release()
  const newest = kept(folder, 'newest', 4, 0)
  expect(readdirSync(folder).sort()).toEqual([oldest, newest].sort())

  const used = openEntry(folder, oldest)!
  utimesSync(used.path, 0, 0)
  const other = kept(folder, 'other', 5, 0)
  expect(readdirSync(folder).sort()).toEqual([oldest, other].sort())
  expect(existsSync(join(folder, middle))).toBe(false)
  used.release()
  // Larger than all that may be kept.
  expect(beginEntry(folder, entryKey('optimised', 'huge'), 11 * MB)).toBeUndefined()
})

it('pruning leaves what another process uses, and takes what one left that was killed', async () => {
  const folder = temporaryFolder()
  const [held, free] = [kept(folder, 'held', 1, 1), kept(folder, 'free', 1, 1)]
  const others = join(folder, 'notes.txt')
  writeFileSync(others, 'not ours')
  // A process that holds the entry as this one would, under its own number.
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
  await once(child, 'spawn')
  const start = startOf(child.pid!)
  writeFileSync(join(folder, held, `.used-by-${child.pid}-${start}-1`), '')
  const abandoned = join(folder, '.draft-abandoned')
  mkdirSync(abandoned)
  utimesSync(abandoned, 0, 0)

  expect(pruneCache(folder)).toEqual({ entries: 1, bytes: MB })
  expect([held, free].map((key) => existsSync(join(folder, key)))).toEqual([true, false])
  expect(existsSync(abandoned)).toBe(false)
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  expect(pruneCache(folder).entries).toBe(1)
  expect(readdirSync(folder)).toEqual(['notes.txt'])
  expect(pruneCache(join(folder, 'nowhere'))).toEqual({ entries: 0, bytes: 0 })
})

it('two that make the same entry both have one', () => {
  const folder = temporaryFolder()
  const key = entryKey('int8', 'same')
  const drafts = [beginEntry(folder, key, 1)!, beginEntry(folder, key, 1)!]
  for (const [i, { path }] of drafts.entries()) writeFileSync(join(path, 'weights.bin'), `${i}`)
  const entries = drafts.map((draft) => draft.keep()!)
  expect(entries.map(({ path }) => path)).toEqual([join(folder, key), join(folder, key)])
  for (const entry of entries) entry.release()
  expect(readdirSync(folder)).toEqual([key])
  expect(readdirSync(join(folder, key))).toEqual(['weights.bin'])
})

it('a file that was replaced is another, whatever its size and name', () => {
  const path = join(temporaryFolder(), 'weights')
  writeFileSync(path, 'abc')
  const before = fileIdentity(path)
  expect(fileIdentity(path)).toBe(before)
  utimesSync(path, 1, 1)
  expect(fileIdentity(path)).not.toBe(before)
})

/** As the marks say it; empty where nothing tells. */
function startOf(pid: number): string {
  const path = `/proc/${pid}/stat`
  if (!existsSync(path)) return ''
  const stat = readFileSync(path, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}
