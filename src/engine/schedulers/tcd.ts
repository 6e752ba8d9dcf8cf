/** TCD: Zheng et al., "Trajectory consistency distillation" (2024), algorithm 4 (strategic stochastic sampling). */

import { EngineError } from '../errors.ts'
import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { AlphaScheduler } from './alpha-scheduler.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { distilledTimesteps, originTimesteps } from './distilled-timesteps.ts'
import { CLIP_DEFAULTS, PREDICTION_TYPES, predictEpsilon, predictOriginal, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { StepIndex } from './step-index.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  original_inference_steps: 50,
  ...CLIP_DEFAULTS,
  clip_sample: false,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: 'epsilon',
  ...THRESHOLD_DEFAULTS,
  timestep_spacing: 'leading',
  timestep_scaling: 10,
  rescale_betas_zero_snr: false,
}

export class TCDScheduler extends AlphaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #index = new StepIndex()

  constructor(config: SchedulerConfig = {}) {
    super('TCDScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): TCDScheduler {
    return new TCDScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, options: SetTimestepsOptions = {}): void {
    const { num_train_timesteps, original_inference_steps } = this.settings
    const { originalInferenceSteps, strength = 1 } = options
    // A length given here stands for a schedule over every training timestep, as in diffusers.
    const originalSteps = originalInferenceSteps === undefined ? original_inference_steps : num_train_timesteps
    const origin = originTimesteps(num_train_timesteps, originalSteps, strength)
    this.timesteps = distilledTimesteps(numInferenceSteps, origin, num_train_timesteps, options)
    this.#index.reset()
  }

  override setBeginIndex(beginIndex: number): void {
    this.#index.setBegin(beginIndex)
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepOutput {
    const { eta: gamma = 0.3, generator } = options
    if (!(gamma >= 0 && gamma <= 1))
      throw new EngineError('argument', `TCDScheduler: eta, its stochasticity γ, is ${gamma} but must be from 0 to 1.`)
    const next = this.timesteps[this.#index.due(timestep, this.timesteps) + 1]
    const alphaProd = this.alphaCumprodAt(timestep)
    const alpha = Math.sqrt(alphaProd)
    const sigma = Math.sqrt(1 - alphaProd)
    const x0 = predictOriginal(this.#predictionType, modelOutput, sample, alpha, sigma)
    const epsilon = predictEpsilon(this.#predictionType, modelOutput, sample, alpha, sigma)

    // Past the next timestep without noise, then back to it with noise; the product counts as float32, as in diffusers.
    const target = Math.floor(Math.fround(Math.fround(1 - gamma) * (next ?? 0)))
    const alphaProdTarget = this.alphaCumprodAt(target)
    const noised = weightedSum([Math.sqrt(alphaProdTarget), x0], [Math.sqrt(1 - alphaProdTarget), epsilon])
    this.#index.advance()
    if (gamma === 0 || next === undefined) return { prevSample: noised, predOriginalSample: x0 }

    const ratio = this.alphaCumprodAt(next) / alphaProdTarget
    const noise = randnTensor(sample.dims, generator)
    const prevSample = weightedSum([Math.sqrt(ratio), noised], [Math.sqrt(1 - ratio), noise])
    return { prevSample, predOriginalSample: x0 }
  }
}
