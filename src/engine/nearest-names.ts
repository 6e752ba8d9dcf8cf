/** Which of the names that there are somebody may have meant. */

import leven from 'leven'

/** Longer names are compared by their beginnings: people add versions at the end. */
const COMPARED = 64

/** Those that are written alike, the most alike first, whatever their case and what stands between their words. */
export function nearestNames(name: string, names: readonly string[], most = 3): string[] {
  const wanted = letters(name)
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  const near = names.flatMap((one) => {
    const other = letters(one)
    const isPart = other !== wanted && wanted.length > 2 && other.includes(wanted)
    const distance = isPart ? 1 : leven(wanted, other)
    return distance <= limit ? [{ one, distance }] : []
  })
  return near
    .sort((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ one }) => one)
}

function letters(name: string): string {
  return name
    .toLowerCase()
    .replace(/[\s_.-]/g, '')
    .slice(0, COMPARED)
}
