/** Which word somebody may have meant: the nearest of those that there are. */

import { closestMatch } from 'leven'

/**
 * Undefined where none is near. Capitals do not count.
 * @param maxDistance how many letters may differ: two, in words of three letters or fewer one
 */
export function nearest(
  word: string,
  words: readonly string[],
  maxDistance = word.length > 3 ? 2 : 1,
): string | undefined {
  const lower = words.map((known) => known.toLowerCase())
  const near = closestMatch(word.toLowerCase(), lower, { maxDistance })
  return near === undefined ? undefined : words[lower.indexOf(near)]
}
