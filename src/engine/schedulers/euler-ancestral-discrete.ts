/** Ancestral Euler steps: Song et al., "Score-based generative modeling through SDEs" (2021), as in k-diffusion's `sample_euler_ancestral`. */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { derivative, predictDenoised } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOptions, StepOutput } from './scheduler.ts'
import { SigmaScheduler } from './sigma-scheduler.ts'
import { ancestralStep } from './sigmas.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  prediction_type: 'epsilon',
  timestep_spacing: 'linspace',
  steps_offset: 0,
  rescale_betas_zero_snr: false,
}

export class EulerAncestralDiscreteScheduler extends SigmaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly order = 1
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', ['epsilon', 'v_prediction'])

  constructor(config: SchedulerConfig = {}) {
    super('EulerAncestralDiscreteScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): EulerAncestralDiscreteScheduler {
    return new EulerAncestralDiscreteScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { timesteps, sigmas } = this.schedule(numInferenceSteps)
    this.begin(timesteps, [...sigmas, 0])
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const sigma = this.sigmas[i]!
    const { up, down } = ancestralStep(sigma, this.sigmas[i + 1]!)
    const x0 = predictDenoised(this.#predictionType, modelOutput, sample, sigma)
    const dt = down - sigma
    const noise = randnTensor(sample.dims, generator)
    const prevSample = weightedSum([1, sample], [dt, derivative(sample, x0, sigma)], [up, noise])
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }
}
