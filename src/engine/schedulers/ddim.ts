/** DDIM: Song, Meng and Ermon, "Denoising diffusion implicit models" (2020), equation 12. */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { AlphaScheduler } from './alpha-scheduler.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import {
  CLIP_DEFAULTS,
  constrain,
  PREDICTION_TYPES,
  predictEpsilon,
  predictOriginal,
  THRESHOLD_DEFAULTS,
} from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOptions, StepOutput } from './scheduler.ts'
import { requireSteps, roundedTimesteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...CLIP_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: 'epsilon',
  timestep_spacing: 'leading',
  rescale_betas_zero_snr: false,
}

export class DDIMScheduler extends AlphaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
  #stride = 0

  constructor(config: SchedulerConfig = {}) {
    super('DDIMScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): DDIMScheduler {
    return new DDIMScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { num_train_timesteps } = this.settings
    requireSteps(numInferenceSteps, num_train_timesteps)
    this.timesteps = roundedTimesteps(this.#spacing, numInferenceSteps, this.settings)
    this.#stride = Math.floor(num_train_timesteps / numInferenceSteps)
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepOutput {
    const { eta = 0, generator } = options
    const alphaProd = this.alphaCumprodAt(timestep)
    const alphaProdPrev = this.alphaCumprodAt(timestep - this.#stride)
    const alpha = Math.sqrt(alphaProd)
    const sigma = Math.sqrt(1 - alphaProd)

    const predicted = predictOriginal(this.#predictionType, modelOutput, sample, alpha, sigma)
    const x0 = constrain(predicted, this.settings)
    const epsilon = predictEpsilon(this.#predictionType, modelOutput, sample, alpha, sigma)

    // Rounded as torch rounds it: one minus a quotient close to one.
    const variance = ((1 - alphaProdPrev) / (1 - alphaProd)) * (1 - Math.fround(alphaProd / alphaProdPrev))
    const stdDev = eta * Math.sqrt(variance)
    // Nothing is left for η = 1 from zero terminal SNR, where rounding may take it below zero.
    const direction = Math.sqrt(Math.max(1 - alphaProdPrev - stdDev * stdDev, 0))
    const mean = weightedSum([Math.sqrt(alphaProdPrev), x0], [direction, epsilon])
    const prevSample = eta > 0 ? weightedSum([1, mean], [stdDev, randnTensor(sample.dims, generator)]) : mean
    return { prevSample, predOriginalSample: x0 }
  }
}
