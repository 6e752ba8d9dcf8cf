/** The noise schedule that a model was trained on: β and ᾱ for every training timestep. */

import { EngineError } from '../errors.ts'
import { requireOneOf, type Settings } from './config.ts'

/** The keys that every class has, with the defaults of most. */
export const BETA_DEFAULTS = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  trained_betas: null as readonly number[] | null,
}

type BetaSettings = Settings<typeof BETA_DEFAULTS> & { rescale_betas_zero_snr?: boolean }

const BETA_SCHEDULES = ['linear', 'scaled_linear', 'squaredcos_cap_v2'] as const
const MAX_TRAIN_TIMESTEPS = 100_000

/** Each sampling has a scheduler of its own, but nearly all of them the same settings. */
const productsBySettings = new WeakMap<BetaSettings, Float32Array>()

/**
 * ᾱ_t = Π (1 − β_s) for t from 0 to `num_train_timesteps` − 1, in float32 at each stage as torch has them; shared, so not to
 * be written to.
 *
 * @throws EngineError 'argument' for an unknown `beta_schedule` or betas that are not numbers.
 */
export function alphasCumprod(settings: BetaSettings): Float32Array {
  const kept = productsBySettings.get(settings)
  if (kept) return kept
  const products = computeAlphasCumprod(settings)
  productsBySettings.set(settings, products)
  return products
}

function computeAlphasCumprod(settings: BetaSettings): Float32Array {
  const betas = trainingBetas(settings)
  const products = cumulativeProduct(settings.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(betas) : betas)
  if (products.length === 0 || products.some((value) => !(value >= 0 && value <= 1)))
    throw new EngineError('argument', `${settings._class_name}: the betas must be numbers from 0 to 1.`)
  return products
}

function trainingBetas(settings: BetaSettings): Float32Array {
  const { trained_betas: trained, num_train_timesteps: count, beta_start: start, beta_end: end } = settings
  if (Array.isArray(trained)) return Float32Array.from(trained)
  if (!Number.isInteger(count) || count < 1 || count > MAX_TRAIN_TIMESTEPS)
    throw new EngineError(
      'argument',
      `${settings._class_name}: num_train_timesteps is ${count} but must be from 1 to ${MAX_TRAIN_TIMESTEPS}.`,
    )
  switch (requireOneOf(settings, 'beta_schedule', BETA_SCHEDULES)) {
    case 'linear':
      return linspace(start, end, count)
    case 'scaled_linear':
      return linspace(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root)
    case 'squaredcos_cap_v2':
      return cosineBetas(count)
  }
}

/** As torch rounds it: float32 steps, counted from the nearer end. */
function linspace(start: number, end: number, count: number): Float32Array {
  const first = Math.fround(start)
  const last = Math.fround(end)
  const step = count > 1 ? Math.fround(Math.fround(last - first) / (count - 1)) : 0
  const half = Math.floor(count / 2)
  return new Float32Array(count).map((_, i) => (i < half ? first + step * i : last - step * (count - 1 - i)))
}

/** Nichol and Dhariwal, "Improved denoising diffusion probabilistic models" (2021), equation 17. */
function cosineBetas(count: number): Float32Array {
  const alphaBar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  )
}

/** Lin et al., "Common diffusion noise schedules and sample steps are flawed" (2023), algorithm 1. */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeProduct(betas).map(Math.sqrt)
  const first = roots[0]!
  const last = roots[roots.length - 1]!
  const scale = Math.fround(first / Math.fround(first - last))
  const rescaled = roots.map((root) => Math.fround(Math.fround(root - last) * scale)).map((root) => root * root)
  return rescaled.map((product, i) => 1 - Math.fround(product / (i === 0 ? 1 : rescaled[i - 1]!)))
}

function cumulativeProduct(betas: Float32Array): Float32Array {
  let product = 1
  return betas.map((beta) => {
    product *= Math.fround(1 - beta)
    return product
  })
}
