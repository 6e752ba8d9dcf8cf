/** LCM: Luo et al., "Latent consistency models" (2023), algorithm 3 (multistep sampling). */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { AlphaScheduler } from './alpha-scheduler.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { distilledTimesteps, originTimesteps } from './distilled-timesteps.ts'
import { CLIP_DEFAULTS, constrain, PREDICTION_TYPES, predictOriginal, THRESHOLD_DEFAULTS } from './prediction.ts'
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

/** Standard deviation of the data, σ_data in the boundary condition of Song et al., "Consistency models" (2023), appendix C. */
const SIGMA_DATA = 0.5

export class LCMScheduler extends AlphaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #index = new StepIndex()

  constructor(config: SchedulerConfig = {}) {
    super('LCMScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): LCMScheduler {
    return new LCMScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, options: SetTimestepsOptions = {}): void {
    const { num_train_timesteps, original_inference_steps } = this.settings
    const { originalInferenceSteps = original_inference_steps, strength = 1 } = options
    const origin = originTimesteps(num_train_timesteps, originalInferenceSteps, strength)
    this.timesteps = distilledTimesteps(numInferenceSteps, origin, num_train_timesteps, options)
    this.#index.reset()
  }

  override setBeginIndex(beginIndex: number): void {
    this.#index.setBegin(beginIndex)
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const next = this.timesteps[this.#index.due(timestep, this.timesteps) + 1]
    const alphaProd = this.alphaCumprodAt(timestep)
    const alpha = Math.sqrt(alphaProd)
    const sigma = Math.sqrt(1 - alphaProd)
    const predicted = predictOriginal(this.#predictionType, modelOutput, sample, alpha, sigma)
    const x0 = constrain(predicted, this.settings)

    const scaled = timestep * this.settings.timestep_scaling
    const total = scaled ** 2 + SIGMA_DATA ** 2
    const denoised = weightedSum([scaled / Math.sqrt(total), x0], [SIGMA_DATA ** 2 / total, sample])
    this.#index.advance()
    if (next === undefined) return { prevSample: denoised, predOriginalSample: denoised }

    const alphaProdNext = this.alphaCumprodAt(next)
    const noise = randnTensor(sample.dims, generator)
    const prevSample = weightedSum([Math.sqrt(alphaProdNext), denoised], [Math.sqrt(1 - alphaProdNext), noise])
    return { prevSample, predOriginalSample: denoised }
  }
}
