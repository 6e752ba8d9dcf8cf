/** Ancestral DPM-Solver-2 in k-diffusion's form (`sample_dpm_2_ancestral`): a midpoint step to σ_down, then noise up to the next σ. */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { derivative, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOptions, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { ancestralStep, SIGMA_DEFAULTS, sigmaRule, timestepOf } from './sigmas.ts'
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

interface AncestralStep {
  /** The noise level of the second evaluation; 0 in the last step, which has none. */
  mid: number
  down: number
  up: number
}

export class KDPM2AncestralDiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 2
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', ['epsilon', 'v_prediction'])
  readonly #rule = sigmaRule(this.settings)
  #steps: AncestralStep[] = []
  /** Where the step started, between its two evaluations. */
  #start: Tensor | undefined

  constructor(config: SchedulerConfig = {}) {
    super('KDPM2AncestralDiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): KDPM2AncestralDiscreteScheduler {
    return new KDPM2AncestralDiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, this.#rule)
    const steps = this.settings.use_karras_sigmas ? timesteps.map(roundHalfToEven) : timesteps
    this.#steps = sigmas.map((sigma, k) => {
      const { up, down } = ancestralStep(Math.fround(sigma), Math.fround(sigmas[k + 1] ?? 0))
      return { mid: Math.sqrt(sigma * down), down, up }
    })
    const between = this.#steps.map(({ mid }) => timestepOf(mid, this.trainingSigmas))
    this.beginTwoStage(steps, between, sigmas)
    this.#start = undefined
  }

  protected override inputSigma(stepIndex: number): number {
    return this.#start ? this.#steps[stepIndex >> 1]!.mid : this.sigmas[stepIndex]!
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.inputSigma(i)
    const { mid, down, up } = this.#steps[i >> 1]!
    const x0 = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const slope = derivative(sample, x0, sigma)
    this.index.advance()

    if (!this.#start) {
      this.#start = sample
      return { prevSample: weightedSum([1, sample], [mid - sigma, slope]), predOriginalSample: x0 }
    }
    const noise = randnTensor(sample.dims, generator)
    const prevSample = weightedSum([1, this.#start], [down - this.sigmas[i - 1]!, slope], [up, noise])
    this.#start = undefined
    return { prevSample, predOriginalSample: x0 }
  }
}
