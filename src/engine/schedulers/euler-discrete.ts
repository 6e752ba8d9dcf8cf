/** Euler steps: Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), algorithm 2, no churn. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { derivative, PREDICTION_TYPES, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { exponentialSigmas, FINAL_SIGMAS_TYPES, SIGMA_DEFAULTS, sigmaRule } from './sigmas.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...SIGMA_DEFAULTS,
  prediction_type: 'epsilon',
  interpolation_type: 'linear',
  sigma_min: null as number | null,
  sigma_max: null as number | null,
  timestep_spacing: 'linspace',
  timestep_type: 'discrete',
  steps_offset: 0,
  rescale_betas_zero_snr: false,
  final_sigmas_type: 'zero',
}

export class EulerDiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 1
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #timestepType = requireOneOf(this.settings, 'timestep_type', ['discrete', 'continuous'])
  readonly #finalSigma = requireOneOf(this.settings, 'final_sigmas_type', FINAL_SIGMAS_TYPES)
  readonly #interpolation = requireOneOf(this.settings, 'interpolation_type', ['linear', 'log_linear'])
  readonly #rule = sigmaRule(this.settings)

  constructor(config: SchedulerConfig = {}) {
    super('EulerDiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): EulerDiscreteScheduler {
    return new EulerDiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, options: SetTimestepsOptions = {}): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, this.#rule, options.timesteps, this.#interpolate())
    const finalSigma = this.#finalSigma === 'zero' ? 0 : this.trainingSigmas[0]!
    // EDM-style models are conditioned on the noise level itself.
    const continuous = this.#timestepType === 'continuous' && this.#predictionType === 'v_prediction'
    this.begin(continuous ? sigmas.map((sigma) => 0.25 * Math.log(sigma)) : timesteps, [...sigmas, finalSigma])
  }

  /** `log_linear`: even steps in log σ, one more than there are timesteps, as in diffusers. */
  #interpolate(): ((timesteps: readonly number[]) => number[]) | undefined {
    if (this.#interpolation === 'linear') return undefined
    const [first, last] = [this.trainingSigmas.at(-1)!, this.trainingSigmas[0]!]
    return ({ length }) => exponentialSigmas(first, last, length + 1)
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.sigmas[i]!
    const x0 = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const dt = this.sigmas[i + 1]! - sigma
    const prevSample = weightedSum([1, sample], [dt, derivative(sample, x0, sigma)])
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }
}
