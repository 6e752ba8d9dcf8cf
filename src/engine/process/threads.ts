/** How many threads the engine may compute with: the cores that it is really given, also in a container. */

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Linux's quota for the container, `cpu.max` of control groups v2: microseconds of each period, or `max`. */
const QUOTA = '/sys/fs/cgroup/cpu.max'

export function usableCores(quotaFile: string = QUOTA): number {
  const cores = availableParallelism()
  try {
    const [quota, period] = readFileSync(quotaFile, 'utf8').split(' ').map(Number)
    // More threads than the quota would only be put to sleep in the middle of their work.
    return Math.min(cores, Math.max(1, Math.ceil(quota! / period!)) || cores)
  } catch {
    return cores
  }
}
