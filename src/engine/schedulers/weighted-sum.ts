/** The one loop over elements that sampling needs: each update is a weighted sum of tensors. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Σ weight · tensor, with the first tensor's dims, rounded to float32 after each operation as torch does: where large numbers
 * cancel, only the same rounding gives the same picture.
 *
 * @throws EngineError 'argument' when the tensors differ in size.
 */
export function weightedSum(...terms: readonly Term[]): Tensor {
  const [[, { data: first, dims }]] = terms as [Term]
  for (const [, { data }] of terms)
    if (data.length !== first.length)
      throw new EngineError(
        'argument',
        `The model's output (${data.length} numbers) and the sample (${first.length}) differ in size.`,
      )
  const sum = new Float32Array(first.length)
  const [a, b, c, d] = terms as readonly [Term, Term?, Term?, Term?]
  if (!b) fillScaled(sum, a)
  else if (!c || !d) fillPair(sum, a, b)
  else fillFour(sum, a, b, c, d)
  for (let i = d ? 4 : 2; i < terms.length; i++) addScaled(sum, terms[i]!)
  return { data: sum, dims }
}

export type Term = readonly [weight: number, tensor: Tensor]

function fillScaled(sum: Float32Array, [weight, { data }]: Term): void {
  const w = Math.fround(weight)
  for (let i = 0; i < sum.length; i++) sum[i] = w * data[i]!
}

/** Most sums have two terms: one pass for both, half the memory traffic. */
function fillPair(sum: Float32Array, [weightA, { data: a }]: Term, [weightB, { data: b }]: Term): void {
  const wa = Math.fround(weightA)
  const wb = Math.fround(weightB)
  for (let i = 0; i < sum.length; i++) sum[i] = Math.fround(wa * a[i]!) + Math.fround(wb * b[i]!)
}

/** Multistep methods sum up as much in each step: one pass in place of three. */
function fillFour(sum: Float32Array, ...[[a, x], [b, y], [c, z], [d, w]]: readonly [Term, Term, Term, Term]): void {
  const [wa, wb, wc, wd] = [Math.fround(a), Math.fround(b), Math.fround(c), Math.fround(d)]
  const [xs, ys, zs, ws] = [x.data, y.data, z.data, w.data]
  for (let i = 0; i < sum.length; i++) {
    const pair = Math.fround(Math.fround(wa * xs[i]!) + Math.fround(wb * ys[i]!))
    sum[i] = Math.fround(pair + Math.fround(wc * zs[i]!)) + Math.fround(wd * ws[i]!)
  }
}

function addScaled(sum: Float32Array, [weight, { data }]: Term): void {
  const w = Math.fround(weight)
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + Math.fround(w * data[i]!)
}
