/** What this browser remembers: which jobs stand in the chat, and what was typed. Without storage it forgets, and works. */

const JOBS = 'seedling.jobs'
const LINES = 'seedling.lines'
const MAX_JOBS = 100
const MAX_LINES = 50

export function knownJobs(): string[] {
  return read(JOBS).filter((job) => /^[0-9a-f]{16}$/u.test(job))
}

/** Another tab may have added some of its own, so the list is read again each time. */
export function rememberJob(job: string): void {
  const known = knownJobs()
  if (!known.includes(job)) write(JOBS, [...known, job].slice(-MAX_JOBS))
}

export function forgetJob(job: string): void {
  write(
    JOBS,
    knownJobs().filter((known) => known !== job),
  )
}

/** Oldest first. */
export function typedLines(): string[] {
  return read(LINES)
}

export function rememberLine(line: string): void {
  write(LINES, [...typedLines().filter((known) => known !== line), line].slice(-MAX_LINES))
}

function read(key: string): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? '[]')
    return Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : []
  } catch {
    return []
  }
}

function write(key: string, list: readonly string[]): void {
  try {
    localStorage.setItem(key, JSON.stringify(list))
  } catch {
    // Storage is full or forbidden; the chat goes on without a memory.
  }
}
