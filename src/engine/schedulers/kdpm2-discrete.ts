/** DPM-Solver-2 in k-diffusion's form (`sample_dpm_2`): a midpoint step in log σ; Karras et al. (2022), algorithm 2. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { derivative, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { SIGMA_DEFAULTS, sigmaRule, timestepOf } from './sigmas.ts'
import { roundHalfToEven } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  ...SIGMA_DEFAULTS,
  prediction_type: 'epsilon',
  timestep_spacing: 'linspace',
  steps_offset: 0,
}

export class KDPM2DiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 2
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', ['epsilon', 'v_prediction'])
  readonly #rule = sigmaRule(this.settings)
  /** The noise level halfway into each step; 0 in the last, which goes all the way. */
  #midSigmas: number[] = []
  /** Where the step started, between its two evaluations. */
  #start: Tensor | undefined

  constructor(config: SchedulerConfig = {}) {
    super('KDPM2DiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): KDPM2DiscreteScheduler {
    return new KDPM2DiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, this.#rule)
    const steps = this.settings.use_karras_sigmas ? timesteps.map(roundHalfToEven) : timesteps
    this.#midSigmas = sigmas.map((sigma, k) => Math.sqrt(sigma * (sigmas[k + 1] ?? 0)))
    const between = this.#midSigmas.map((sigma) => timestepOf(sigma, this.trainingSigmas))
    this.beginTwoStage(steps, between, sigmas)
    this.#start = undefined
  }

  protected override inputSigma(stepIndex: number): number {
    return this.#start ? this.#midSigmas[stepIndex >> 1]! : this.sigmas[stepIndex]!
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.inputSigma(i)
    const x0 = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const slope = derivative(sample, x0, sigma)
    this.index.advance()

    if (!this.#start) {
      this.#start = sample
      const prevSample = weightedSum([1, sample], [this.#midSigmas[i >> 1]! - sigma, slope])
      return { prevSample, predOriginalSample: x0 }
    }
    const dt = this.sigmas[i]! - this.sigmas[i - 1]!
    const prevSample = weightedSum([1, this.#start], [dt, slope])
    this.#start = undefined
    return { prevSample, predOriginalSample: x0 }
  }
}
