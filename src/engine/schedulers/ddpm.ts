/** DDPM: Ho, Jain and Abbeel, "Denoising diffusion probabilistic models" (2020), equations 6 and 7. */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { AlphaScheduler } from './alpha-scheduler.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { CLIP_DEFAULTS, constrain, PREDICTION_TYPES, predictOriginal, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { requireDescending, requireSteps, roundedTimesteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...CLIP_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  variance_type: 'fixed_small',
  prediction_type: 'epsilon',
  timestep_spacing: 'leading',
  steps_offset: 0,
  rescale_betas_zero_snr: false,
}

/** The two choices of σ_t² in section 3.2 of the paper; those that a model would have to learn are not supported. */
const VARIANCE_TYPES = ['fixed_small', 'fixed_small_log', 'fixed_large'] as const

export class DDPMScheduler extends AlphaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
  readonly #varianceType = requireOneOf(this.settings, 'variance_type', VARIANCE_TYPES)

  constructor(config: SchedulerConfig = {}) {
    super('DDPMScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): DDPMScheduler {
    return new DDPMScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, { timesteps }: SetTimestepsOptions = {}): void {
    const { num_train_timesteps } = this.settings
    if (timesteps) requireDescending(timesteps, num_train_timesteps)
    else requireSteps(numInferenceSteps, num_train_timesteps)
    this.timesteps = timesteps ? [...timesteps] : roundedTimesteps(this.#spacing, numInferenceSteps, this.settings)
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const previous = this.timesteps[this.timesteps.indexOf(timestep) + 1] ?? -1
    const alphaProd = this.alphaCumprodAt(timestep)
    const alphaProdPrev = this.alphaCumprodAt(previous)
    // Rounded as torch rounds it: β is the little that is left of 1.
    const alpha = Math.fround(alphaProd / alphaProdPrev)
    const beta = Math.fround(1 - alpha)

    const predicted = predictOriginal(
      this.#predictionType,
      modelOutput,
      sample,
      Math.sqrt(alphaProd),
      Math.sqrt(1 - alphaProd),
    )
    const x0 = constrain(predicted, this.settings)
    const mean = weightedSum(
      [(Math.sqrt(alphaProdPrev) * beta) / (1 - alphaProd), x0],
      [(Math.sqrt(alpha) * (1 - alphaProdPrev)) / (1 - alphaProd), sample],
    )
    if (timestep === 0) return { prevSample: mean, predOriginalSample: x0 }

    const smallVariance = Math.max(((1 - alphaProdPrev) / (1 - alphaProd)) * beta, 1e-20)
    const variance = this.#varianceType === 'fixed_large' ? beta : smallVariance
    const noise = randnTensor(sample.dims, generator)
    return { prevSample: weightedSum([1, mean], [Math.sqrt(variance), noise]), predOriginalSample: x0 }
  }
}
