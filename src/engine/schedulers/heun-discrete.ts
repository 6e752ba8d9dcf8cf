/** Heun's method: Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), algorithm 2, no churn. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { CLIP_DEFAULTS, clip, derivative, PREDICTION_TYPES, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { SIGMA_DEFAULTS, sigmaRule } from './sigmas.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  ...SIGMA_DEFAULTS,
  ...CLIP_DEFAULTS,
  clip_sample: false,
  prediction_type: 'epsilon',
  timestep_spacing: 'linspace',
  steps_offset: 0,
}

export class HeunDiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 2
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #rule = sigmaRule(this.settings)
  /** Between the two evaluations of a step: where it started, with which slope. */
  #half: { sample: Tensor; slope: Tensor } | undefined

  constructor(config: SchedulerConfig = {}) {
    super('HeunDiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): HeunDiscreteScheduler {
    return new HeunDiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, options: SetTimestepsOptions = {}): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, this.#rule, options.timesteps)
    this.beginTwoStage(timesteps, timesteps.slice(1), sigmas)
    this.#half = undefined
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.sigmas[i]!
    const predicted = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const x0 = this.settings.clip_sample ? clip(predicted, this.settings.clip_sample_range) : predicted
    const slope = derivative(sample, x0, sigma)
    this.index.advance()

    if (!this.#half) {
      this.#half = { sample, slope }
      const prevSample = weightedSum([1, sample], [this.sigmas[i + 1]! - sigma, slope])
      return { prevSample, predOriginalSample: x0 }
    }
    const start = this.#half
    this.#half = undefined
    const dt = sigma - this.sigmas[i - 1]!
    const prevSample = weightedSum([1, start.sample], [dt / 2, start.slope], [dt / 2, slope])
    return { prevSample, predOriginalSample: x0 }
  }
}
