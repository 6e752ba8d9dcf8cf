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
  if (terms.length === 1) fillScaled(sum, terms[0]!)
  else fillPair(sum, terms[0]!, terms[1]!)
  for (let i = 2; i < terms.length; i++) addScaled(sum, terms[i]!)
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

function addScaled(sum: Float32Array, [weight, { data }]: Term): void {
  const w = Math.fround(weight)
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + Math.fround(w * data[i]!)
}
