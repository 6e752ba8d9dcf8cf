/** Whether a model fits into the memory that is free, said before it is tried: a process that runs out of it is killed. */

import { readFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { dirname, join } from 'node:path'
import { EngineError } from '../errors.ts'

/**
 * Bytes that this process could take now: what the machine would give up for it, swap included, within the limits of its
 * control groups (containers, systemd's MemoryMax). Files' pages count as free: the kernel drops them.
 */
export function availableMemory(): number {
  const machine = meminfo('MemAvailable')
  if (machine === undefined) return freemem()
  return Math.min(machine + (meminfo('SwapFree') ?? 0), groupHeadroom())
}

export interface Needs {
  /** The part, for the message. */
  readonly part: string
  /** Bytes of its weights as they will lie in memory. */
  readonly bytes: number
  /** The same in a smaller type that it could run in. */
  readonly smaller?: { readonly dtype: string; readonly bytes: number }
}

/**
 * Refuses what cannot fit: weights alone that are larger than all that is free. What is a little smaller may still run out
 * while it draws, or just fit, so it is tried. `SEEDLING_MEMORY_CHECK=off` tries everything.
 * @throws EngineError 'device'
 */
export function requireMemory({ part, bytes, smaller }: Needs, available = availableMemory()): void {
  if (bytes <= available || !isChecked()) return
  const fits = smaller && smaller.bytes <= available
  const cure = fits ? `use dtype '${smaller.dtype}' (about ${gigabytes(smaller.bytes)})` : 'use a smaller model'
  throw new EngineError(
    'device',
    `The ${part} needs about ${gigabytes(bytes)} of memory and ${gigabytes(available)} are free: ${cure}, free some memory, or` +
      ' set SEEDLING_MEMORY_CHECK=off to try it all the same.',
  )
}

function isChecked(): boolean {
  const given = process.env.SEEDLING_MEMORY_CHECK
  if (given === undefined || given === '' || given === 'on') return true
  if (given === 'off') return false
  throw new EngineError('argument', `SEEDLING_MEMORY_CHECK is "${given}"; set it to on or off.`)
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}

/** Linux alone has it. */
function meminfo(name: string): number | undefined {
  const kilobytes = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(read('/proc/meminfo') ?? '')?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}

const GROUPS = '/sys/fs/cgroup'

/** The least that any of the groups around this process still allows. */
function groupHeadroom(): number {
  const groups = read('/proc/self/cgroup') ?? ''
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1]
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1]
  return Math.min(
    headroomAbove(GROUPS, unified, { limit: 'memory.max', used: 'memory.current', files: 'inactive_file' }),
    headroomAbove(join(GROUPS, 'memory'), memory, {
      limit: 'memory.limit_in_bytes',
      used: 'memory.usage_in_bytes',
      files: 'total_inactive_file',
    }),
  )
}

/** Names in a version of control groups: limit, use, and what of that are files' pages that can be dropped. */
interface GroupFiles {
  readonly limit: string
  readonly used: string
  readonly files: string
}

function headroomAbove(root: string, path: string | undefined, files: GroupFiles): number {
  if (path === undefined) return Number.POSITIVE_INFINITY
  let least = Number.POSITIVE_INFINITY
  // Inside a container the path may be the host's, and only the root is there.
  for (let group = path; ; group = dirname(group)) {
    least = Math.min(least, headroom(join(root, group), files))
    if (group === dirname(group)) return least
  }
}

function headroom(group: string, { limit, used, files }: GroupFiles): number {
  const most = Number(read(join(group, limit)) ?? Number.NaN)
  const now = Number(read(join(group, used)) ?? Number.NaN)
  if (Number.isNaN(most) || Number.isNaN(now)) return Number.POSITIVE_INFINITY
  const dropped = new RegExp(`^${files} (\\d+)`, 'm').exec(read(join(group, 'memory.stat')) ?? '')?.[1]
  return most - now + Number(dropped ?? 0)
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
