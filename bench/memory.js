/** What a process holds and held, as Linux tells; nothing anywhere else. */

import { readFileSync } from 'node:fs'

/** Resident now, in MiB. */
export function resident(pid = 'self') {
  return status(pid, 'VmRSS')
}

/** The most that was ever resident. */
export function peak(pid = 'self') {
  return status(pid, 'VmHWM')
}

/** Resident without what lies in files as well, such as weights: those pages come and go as the machine likes. */
export function anonymous(pid = 'self') {
  return status(pid, 'RssAnon')
}

/** What the machine could give a process now, in MiB; infinite where nothing tells. */
export function available() {
  return read('/proc/meminfo', 'MemAvailable') ?? Number.POSITIVE_INFINITY
}

function status(pid, name) {
  return read(`/proc/${pid}/status`, name)
}

function read(file, name) {
  try {
    return Number(new RegExp(`${name}:\\s*(\\d+)`).exec(readFileSync(file, 'utf8'))[1]) / 1024
  } catch {
    return undefined
  }
}
