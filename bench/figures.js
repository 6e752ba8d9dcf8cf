/** How figures become rows of the table: medians, ratios with their spread, bars. */

/**
 * @typedef {object} Row
 * @property {string} figure What was measured.
 * @property {string} value
 * @property {string} [target] What it must reach.
 * @property {string} [alternative] The same, measured of something else.
 * @property {string} [ratio] This to the alternative.
 * @property {boolean} [ok] Whether it reaches the target.
 */

/** A number, and at most how large it may be. @returns {Row} */
export function figure(name, number, unit, most) {
  const row = { figure: name, value: quantity(number, unit) }
  return most === undefined ? row : { ...row, target: `≤ ${quantity(most, unit)}`, ok: number <= most }
}

/** A row that only says something, such as why others are missing. @returns {Row} */
export function remark(text) {
  return { figure: text, value: '' }
}

/**
 * Two series that took turns; the ratio is the median of the turns', so that what slowed both down counts for nothing.
 * @param {number} [most] How large the ratio may be.
 * @returns {Row}
 */
export function comparison(name, ours, { name: other, series: theirs }, unit, most) {
  const ratios = ours.map((value, turn) => value / theirs[turn])
  const ratio = median(ratios)
  const spread = `${quantile(ratios, 0.25).toFixed(2)}–${quantile(ratios, 0.75).toFixed(2)}`
  return {
    figure: name,
    value: quantity(median(ours), unit),
    alternative: `${other} ${quantity(median(theirs), unit)}`,
    ratio: `${ratio.toFixed(2)} (${spread})`,
    ...(most !== undefined && { target: `ratio ≤ ${most.toFixed(2)}`, ok: ratio <= most }),
  }
}

export function quantity(number, unit) {
  const size = Math.abs(number)
  if (size > 0 && size < 0.01) return `${number.toExponential(0)} ${unit}`.trim()
  return `${number.toFixed(size < 1 ? 2 : size < 10 ? 1 : 0)} ${unit}`.trim()
}

export function median(values) {
  return quantile(values, 0.5)
}

/** Linear between the two nearest. */
export function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b)
  const position = q * (sorted.length - 1)
  const below = sorted[Math.floor(position)]
  return below + (sorted[Math.ceil(position)] - below) * (position % 1)
}

export async function timed(work) {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}
