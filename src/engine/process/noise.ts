/** The latents that an image starts from: its seed's noise, turned towards each variation's in order. */

import type { Noise } from '../../job/request.ts'
import { Generator } from '../random/generator.ts'
import type { Tensor } from '../tensor.ts'

/** One image's beginning. */
export interface Start {
  /** Unit noise, `[1, channels, height, width]`. */
  readonly latents: Tensor
  /** The seed's stream behind those latents, for schedulers that draw noise in each step. */
  readonly generator: Generator
}

export function startOf({ seed, variations }: Noise, dims: readonly number[]): Start {
  const generator = new Generator(seed)
  let { data } = generator.randn(dims)
  for (const variation of variations) {
    data = slerp(variation.strength, data, new Generator(variation.seed).randn(dims).data)
  }
  return { latents: { data, dims }, generator }
}

/**
 * Spherical interpolation from `from` (0) to `to` (1) over all numbers as one vector, so that what lies between two
 * noises is as strong as noise (diffusers `examples/community/interpolate_stable_diffusion.py`).
 */
export function slerp(t: number, from: Float32Array, to: Float32Array): Float32Array {
  const [towards, away] = weights(t, cosine(from, to))
  return from.map((value, index) => away * value + towards * to[index]!)
}

/** Vectors this near to one line have no plane to turn in; a straight line is as good. */
const PARALLEL = 0.9995

function weights(t: number, dot: number): [towards: number, away: number] {
  if (Math.abs(dot) > PARALLEL) return [t, 1 - t]
  const angle = Math.acos(dot)
  return [Math.sin(t * angle) / Math.sin(angle), Math.sin((1 - t) * angle) / Math.sin(angle)]
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    aa += a[i]! * a[i]!
    bb += b[i]! * b[i]!
  }
  return dot / Math.sqrt(aa * bb)
}
