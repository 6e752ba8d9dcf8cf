/** Noise levels σ = √((1 − ᾱ) / ᾱ): from timesteps, or spread by a rule of their own, and back to timesteps. */

import { EngineError } from '../errors.ts'
import { betaQuantile } from './beta-quantile.ts'
import type { Settings } from './config.ts'
import type { SchedulerConfig } from './scheduler.ts'

export const SIGMA_DEFAULTS = {
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
}

export const FINAL_SIGMAS_TYPES = ['zero', 'sigma_min'] as const

/** Where ᾱ is 0, at zero terminal SNR: as in diffusers, the σ of ᾱ = 2⁻²⁴ instead of infinity. */
const LARGEST_SIGMA = 4096

/** σ for every training timestep, ascending, in float32. */
export function trainingSigmas(alphasCumprod: Float32Array): Float32Array {
  return alphasCumprod.map((product) =>
    product === 0 ? LARGEST_SIGMA : Math.sqrt(Math.fround(Math.fround(1 - product) / product)),
  )
}

/** σ at a fractional timestep, held constant past the ends; timesteps count as float32, as in diffusers. */
export function sigmaAt(timestep: number, sigmas: Float32Array): number {
  const t = Math.min(Math.max(Math.fround(timestep), 0), sigmas.length - 1)
  const below = Math.floor(t)
  const above = Math.min(below + 1, sigmas.length - 1)
  return sigmas[below]! + (sigmas[above]! - sigmas[below]!) * (t - below)
}

/** The fractional timestep of a noise level: linear in log σ between two training timesteps. */
export function timestepOf(sigma: number, sigmas: Float32Array): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10))
  // From above, because close to zero terminal SNR the last training noise levels need not ascend.
  let low = sigmas.length - 1
  while (low > 0 && logSigma < Math.fround(Math.log(sigmas[low]!))) low--
  low = Math.min(low, sigmas.length - 2)
  const logLow = Math.fround(Math.log(sigmas[low]!))
  const logHigh = Math.fround(Math.log(sigmas[low + 1]!))
  const w = Math.min(Math.max((logLow - logSigma) / (logLow - logHigh), 0), 1)
  return (1 - w) * low + w * (low + 1)
}

/**
 * A step from `sigma` to `next` as a deterministic one to `down` and noise of `up` on top: down² + up² = next². Rounded as
 * torch rounds, because a small `down` is what two nearly equal squares leave.
 */
export function ancestralStep(sigma: number, next: number): { up: number; down: number } {
  const { fround, sqrt } = Math
  const from2 = fround(sigma * sigma)
  const to2 = fround(next * next)
  const up = fround(sqrt(fround(fround(to2 * fround(from2 - to2)) / from2)))
  return { up, down: fround(sqrt(Math.max(fround(to2 - fround(up * up)), 0))) }
}

/** `count` noise levels from `max` down to `min`. */
export type SigmaRule = (max: number, min: number, count: number) => number[]

/**
 * The rule that the settings ask for, or undefined for the noise levels of the timesteps themselves.
 *
 * @throws EngineError 'argument' when they ask for more than one.
 */
export function sigmaRule(
  settings: Settings<typeof SIGMA_DEFAULTS> & { use_lu_lambdas?: boolean },
): SigmaRule | undefined {
  const rules = [
    settings.use_karras_sigmas && karrasSigmas,
    settings.use_exponential_sigmas && exponentialSigmas,
    settings.use_lu_lambdas && luSigmas,
    settings.use_beta_sigmas && betaSigmas,
  ].filter((rule) => typeof rule === 'function')
  if (rules.length > 1)
    throw new EngineError(
      'argument',
      `${settings._class_name}: only one of use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas and use_lu_lambdas can be true.`,
    )
  return rules[0]
}

/**
 * The rule between the two noise levels, where the config's `sigma_max` and `sigma_min` do not set others, which it may carry
 * for another class; as in diffusers, Lu's rule and Karras' in LMS do not ask for them.
 */
export function spreadSigmas(
  rule: SigmaRule,
  config: SchedulerConfig,
  max: number,
  min: number,
  count: number,
): number[] {
  const { sigma_max: ownMax, sigma_min: ownMin, _class_name: name } = config
  if (rule === luSigmas || (rule === karrasSigmas && name === 'LMSDiscreteScheduler')) return rule(max, min, count)
  return rule(typeof ownMax === 'number' ? ownMax : max, typeof ownMin === 'number' ? ownMin : min, count)
}

/** Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), equation 5. */
function karrasSigmas(max: number, min: number, count: number): number[] {
  const rho = 7
  const maxRoot = max ** (1 / rho)
  const minRoot = min ** (1 / rho)
  return ramp(count, (u) => (maxRoot + u * (minRoot - maxRoot)) ** rho)
}

/** Even steps in log σ. */
export function exponentialSigmas(max: number, min: number, count: number): number[] {
  const step = count === 1 ? 0 : (Math.log(min) - Math.log(max)) / (count - 1)
  return Array.from({ length: count }, (_, i) => Math.exp(Math.log(max) + i * step))
}

/** Even steps in λ, as Lu et al. (2022) take them: in log σ too, but between ends that count as float32. */
function luSigmas(max: number, min: number, count: number): number[] {
  const first = Math.fround(Math.log(max))
  const last = Math.fround(Math.log(min))
  return ramp(count, (u) => Math.exp(first + u * (last - first)))
}

/** Lee et al., "Beta sampling is all you need" (2024), with the α = β = 0.6 of diffusers. */
function betaSigmas(max: number, min: number, count: number): number[] {
  return ramp(count, (u) => min + betaQuantile(1 - u, 0.6) * (max - min))
}

function ramp(count: number, sigma: (u: number) => number): number[] {
  return Array.from({ length: count }, (_, i) => sigma(i === 0 ? 0 : i / (count - 1)))
}
