/** The one loop over elements that sampling needs: each update is a weighted sum of tensors. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Σ weight · tensor, with the first tensor's dims, rounded to float32 after each operation as torch does: where large numbers
 * cancel, only the same rounding gives the same picture.
 *
 * @throws EngineError 'argument' when the tensors differ in size.
 */
export function weightedSum(...terms: readonly (readonly [weight: number, tensor: Tensor])[]): Tensor {
  const { dims } = terms[0]![1]
  const n = terms[0]![1].data.length
  const sum = new Float32Array(n)
  for (const [weight, { data }] of terms) {
    if (data.length !== n)
      throw new EngineError(
        'argument',
        `The model's output (${data.length} numbers) and the sample (${n}) differ in size.`,
      )
    const w = Math.fround(weight)
    for (let i = 0; i < n; i++) sum[i] = sum[i]! + Math.fround(w * data[i]!)
  }
  return { data: sum, dims }
}
