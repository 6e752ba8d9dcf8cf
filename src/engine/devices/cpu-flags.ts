/** What this processor can do, as Linux lists it: `avx2`, `avx512_vnni` … */

import { readFileSync } from 'node:fs'

/** The flags in one line; nothing where the system has no such list. */
export function cpuFlags(): string | undefined {
  try {
    return /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1] ?? ''
  } catch {
    return undefined
  }
}
