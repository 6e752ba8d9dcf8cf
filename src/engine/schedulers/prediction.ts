/** What a model's output says about the image: x₀ and ε from an epsilon, v or sample prediction. */

import type { Tensor } from '../tensor.ts'
import { weightedSum } from './weighted-sum.ts'

export const PREDICTION_TYPES = ['epsilon', 'sample', 'v_prediction'] as const
export type PredictionType = (typeof PREDICTION_TYPES)[number]

/**
 * The predicted image x₀ where sample = α x₀ + σ ε: v is Salimans and Ho, "Progressive distillation" (2022), section 4.
 */
export function predictOriginal(
  type: PredictionType,
  output: Tensor,
  sample: Tensor,
  alpha: number,
  sigma: number,
): Tensor {
  switch (type) {
    case 'epsilon':
      return quotient(weightedSum([1, sample], [-sigma, output]), alpha)
    case 'sample':
      return output
    case 'v_prediction':
      return weightedSum([alpha, sample], [-sigma, output])
  }
}

/** The predicted noise ε where sample = α x₀ + σ ε. */
export function predictEpsilon(
  type: PredictionType,
  output: Tensor,
  sample: Tensor,
  alpha: number,
  sigma: number,
): Tensor {
  switch (type) {
    case 'epsilon':
      return output
    case 'sample':
      return quotient(weightedSum([1, sample], [-alpha, output]), sigma)
    case 'v_prediction':
      return weightedSum([alpha, output], [sigma, sample])
  }
}

/** The predicted image x₀ where sample = x₀ + σ ε and the model saw sample / √(σ² + 1). */
export function predictDenoised(type: PredictionType, output: Tensor, sample: Tensor, sigma: number): Tensor {
  const variance = sigma * sigma + 1
  switch (type) {
    case 'epsilon':
      return weightedSum([1, sample], [-sigma, output])
    case 'sample':
      return output
    case 'v_prediction':
      return weightedSum([1 / variance, sample], [-sigma / Math.sqrt(variance), output])
  }
}

/** dx/dσ where sample = x₀ + σ ε, which is the predicted ε. */
export function derivative(sample: Tensor, x0: Tensor, sigma: number): Tensor {
  return quotient(weightedSum([1, sample], [-1, x0]), sigma)
}

/** The sum itself, divided: a division by zero stays an infinity, which clipping takes care of. */
function quotient(sum: Tensor, divisor: number): Tensor {
  const { data } = sum
  for (let i = 0; i < data.length; i++) data[i] = data[i]! / divisor
  return sum
}

export const CLIP_DEFAULTS = { clip_sample: true, clip_sample_range: 1 }

export const THRESHOLD_DEFAULTS = { thresholding: false, dynamic_thresholding_ratio: 0.995, sample_max_value: 1 }

/** Keeps x₀ in range as the config asks: dynamic thresholding, else clipping, else untouched. */
export function constrain(
  x0: Tensor,
  config: typeof THRESHOLD_DEFAULTS & { clip_sample?: boolean; clip_sample_range?: number },
): Tensor {
  if (config.thresholding) return threshold(x0, config)
  return config.clip_sample ? clip(x0, config.clip_sample_range ?? 1) : x0
}

export function clip({ data, dims }: Tensor, range: number): Tensor {
  const clipped = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) clipped[i] = Math.min(Math.max(data[i]!, -range), range)
  return { data: clipped, dims }
}

/** Saharia et al., "Photorealistic text-to-image diffusion models" (2022), section 2.3, row by row. */
function threshold({ data, dims }: Tensor, config: typeof THRESHOLD_DEFAULTS): Tensor {
  const rowSize = data.length / dims[0]!
  const constrained = new Float32Array(data.length)
  for (let start = 0; start < data.length; start += rowSize) {
    const row = data.subarray(start, start + rowSize)
    const s = Math.min(
      Math.max(quantile(row.map(Math.abs), config.dynamic_thresholding_ratio), 1),
      config.sample_max_value,
    )
    for (let i = 0; i < rowSize; i++) constrained[start + i] = Math.min(Math.max(row[i]!, -s), s) / s
  }
  return { data: constrained, dims }
}

/** Linear between the two nearest, as `torch.quantile`. */
function quantile(values: Float32Array, q: number): number {
  const sorted = values.sort()
  const position = q * (sorted.length - 1)
  const below = Math.floor(position)
  const above = Math.ceil(position)
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (position - below)
}
