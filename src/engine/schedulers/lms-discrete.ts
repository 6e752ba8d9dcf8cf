/** Linear multistep (Adams–Bashforth on uneven noise levels), from Katherine Crowson's k-diffusion, `sample_lms`. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { derivative, PREDICTION_TYPES, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { SIGMA_DEFAULTS, sigmaRule } from './sigmas.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...SIGMA_DEFAULTS,
  prediction_type: 'epsilon',
  timestep_spacing: 'linspace',
  steps_offset: 0,
}

const MAX_ORDER = 4

export class LMSDiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 1
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #rule = sigmaRule(this.settings)
  /** dx/dσ of the last steps, the newest first. */
  #derivatives: Tensor[] = []

  constructor(config: SchedulerConfig = {}) {
    super('LMSDiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): LMSDiscreteScheduler {
    return new LMSDiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, this.#rule)
    this.begin(timesteps, [...sigmas, 0])
    this.#derivatives = []
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.sigmas[i]!
    const x0 = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const slope = derivative(sample, x0, sigma)
    this.#derivatives = [slope, ...this.#derivatives].slice(0, MAX_ORDER)

    // After a start in the middle the order is that of the place, though fewer derivatives are known: as in diffusers.
    const order = Math.min(i + 1, MAX_ORDER)
    const known = this.#derivatives.slice(0, order)
    const terms = known.map((past, k) => [this.#coefficient(order, i, k), past] as const)
    const prevSample = weightedSum([1, sample], ...terms)
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }

  /** ∫ of the Lagrange polynomial of the k-th newest noise level, over the step; two Gauss points are exact up to order 4. */
  #coefficient(order: number, i: number, k: number): number {
    const from = this.sigmas[i]!
    const half = (this.sigmas[i + 1]! - from) / 2
    const offset = half / Math.sqrt(3)
    return (
      half * (this.#lagrange(order, i, k, from + half - offset) + this.#lagrange(order, i, k, from + half + offset))
    )
  }

  #lagrange(order: number, i: number, k: number, tau: number): number {
    let product = 1
    for (let other = 0; other < order; other++)
      if (other !== k) product *= (tau - this.sigmas[i - other]!) / (this.sigmas[i - k]! - this.sigmas[i - other]!)
    return product
  }
}
