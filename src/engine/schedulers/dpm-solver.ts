/**
 * The updates of DPM-Solver (Lu et al. 2022) and DPM-Solver++ (Lu et al. 2022, "fast solver for guided sampling"), as ODE
 * and as SDE, which the multistep and the singlestep scheduler share.
 */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { requireOneOf } from './config.ts'
import type { NoiseLevel } from './lambda-scheduler.ts'
import {
  constrain,
  type PredictionType,
  predictEpsilon,
  predictOriginal,
  type THRESHOLD_DEFAULTS,
} from './prediction.ts'
import type { SchedulerConfig } from './scheduler.ts'
import { weightedSum } from './weighted-sum.ts'

export type AlgorithmType = 'dpmsolver' | 'dpmsolver++' | 'sde-dpmsolver' | 'sde-dpmsolver++'
export type SolverType = 'midpoint' | 'heun'

/** Other multistep classes' names for the nearest thing here, as diffusers translates them between configs. */
export function translated(config: SchedulerConfig): SchedulerConfig {
  const algorithm = config.algorithm_type === 'deis' ? { algorithm_type: 'dpmsolver++' } : {}
  const solver = ['logrho', 'bh1', 'bh2'].includes(String(config.solver_type)) ? { solver_type: 'midpoint' } : {}
  return { ...config, ...algorithm, ...solver }
}

/** @throws EngineError 'argument' for an unknown method, or one that cannot end at a noise level of zero. */
export function requireMethod<Algorithm extends AlgorithmType>(
  settings: SchedulerConfig & { final_sigmas_type: string },
  algorithms: readonly Algorithm[],
): { algorithm: Algorithm; solverType: SolverType } {
  const algorithm = requireOneOf(settings, 'algorithm_type', algorithms)
  const solverType = requireOneOf(settings, 'solver_type', ['midpoint', 'heun'])
  if (!algorithm.endsWith('++') && settings.final_sigmas_type === 'zero')
    throw new EngineError(
      'argument',
      `${settings._class_name}: final_sigmas_type "zero" does not go with algorithm_type "${algorithm}": choose "sigma_min".`,
    )
  return { algorithm, solverType }
}

/** What the solver integrates: x₀ for the ++ methods, ε for the others; `x0` where it was computed. */
export function convertModelOutput(
  algorithm: AlgorithmType,
  type: PredictionType,
  modelOutput: Tensor,
  sample: Tensor,
  { alpha, sigma }: NoiseLevel,
  settings: typeof THRESHOLD_DEFAULTS,
): { converted: Tensor; x0: Tensor } {
  const x0 = constrain(predictOriginal(type, modelOutput, sample, alpha, sigma), settings)
  if (algorithm.endsWith('++')) return { converted: x0, x0 }
  const epsilon = settings.thresholding
    ? weightedSum([1 / sigma, sample], [-alpha / sigma, x0])
    : predictEpsilon(type, modelOutput, sample, alpha, sigma)
  return { converted: epsilon, x0 }
}

/**
 * One exponential step of the sample between two noise levels, along the differences D₀, D₁, D₂ of the converted outputs.
 *
 * @param solverType How D₁ weighs in: by the midpoint rule, or exactly, as every update of third order has it.
 * @param noise Unit noise, for the SDE methods.
 */
export function dpmUpdate(
  algorithm: AlgorithmType,
  solverType: SolverType,
  [from, to]: readonly [NoiseLevel, NoiseLevel],
  sample: Tensor,
  [d0, d1, d2]: readonly [Tensor, Tensor?, Tensor?],
  noise?: Tensor,
): Tensor {
  const weight = WEIGHTS[algorithm](from, to, to.lambda - from.lambda)
  const terms: [number, Tensor][] = [
    [weight.sample, sample],
    [weight.d0, d0],
  ]
  if (d1) terms.push([solverType === 'midpoint' ? weight.d0 / 2 : weight.d1, d1])
  if (d2) terms.push([weight.d2, d2])
  if (noise) terms.push([weight.noise, noise])
  return weightedSum(...terms)
}

interface Weights {
  sample: number
  d0: number
  d1: number
  d2: number
  noise: number
}

const WEIGHTS: Record<AlgorithmType, (from: NoiseLevel, to: NoiseLevel, h: number) => Weights> = {
  'dpmsolver++': (from, to, h) => {
    const phi = Math.expm1(-h)
    return {
      sample: to.sigma / from.sigma,
      d0: -to.alpha * phi,
      d1: to.alpha * (phi / h + 1),
      d2: -to.alpha * ((phi + h) / h ** 2 - 1 / 2),
      noise: 0,
    }
  },
  dpmsolver: (from, to, h) => {
    const phi = Math.expm1(h)
    return {
      sample: to.alpha / from.alpha,
      d0: -to.sigma * phi,
      d1: -to.sigma * (phi / h - 1),
      d2: -to.sigma * ((phi - h) / h ** 2 - 1 / 2),
      noise: 0,
    }
  },
  'sde-dpmsolver++': (from, to, h) => {
    const phi = -Math.expm1(-2 * h)
    return {
      sample: (to.sigma / from.sigma) * Math.exp(-h),
      d0: to.alpha * phi,
      d1: to.alpha * (phi / (-2 * h) + 1),
      d2: to.alpha * ((phi - 2 * h) / (2 * h) ** 2 - 1 / 2),
      noise: to.sigma * Math.sqrt(phi),
    }
  },
  'sde-dpmsolver': (from, to, h) => {
    const phi = Math.expm1(h)
    return {
      sample: to.alpha / from.alpha,
      d0: -2 * to.sigma * phi,
      d1: -2 * to.sigma * (phi / h - 1),
      d2: Number.NaN,
      noise: to.sigma * Math.sqrt(Math.expm1(2 * h)),
    }
  },
}
