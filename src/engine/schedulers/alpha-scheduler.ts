/** What the methods that step along ᾱ_t have in common (DDPM, DDIM, PNDM, LCM, TCD): x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { alphasCumprod, type BETA_DEFAULTS } from './betas.ts'
import { completeConfig, type Settings, settingsOf } from './config.ts'
import type { SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { weightedSum } from './weighted-sum.ts'

type AlphaDefaults = SchedulerConfig &
  typeof BETA_DEFAULTS & { set_alpha_to_one?: boolean; rescale_betas_zero_snr?: boolean }

export abstract class AlphaScheduler<Defaults extends AlphaDefaults> {
  readonly config: SchedulerConfig
  readonly order = 1
  readonly initNoiseSigma = 1
  timesteps: number[] = []
  protected readonly settings: Settings<Defaults>
  readonly #alphasCumprod: Float32Array
  /** ᾱ before the first training timestep, where the last step of a sampling ends. */
  readonly #finalAlphaCumprod: number

  constructor(className: string, defaults: Defaults, config: SchedulerConfig) {
    const complete = completeConfig(className, defaults, config)
    this.config = complete
    this.settings = settingsOf(complete, defaults)
    this.#alphasCumprod = alphasCumprod(this.settings)
    this.#finalAlphaCumprod = (this.settings.set_alpha_to_one ?? true) ? 1 : this.#alphasCumprod[0]!
  }

  abstract setTimesteps(numInferenceSteps: number, options?: SetTimestepsOptions): void
  abstract step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions): StepOutput

  /** These methods find their place by the timestep itself. */
  setBeginIndex(_beginIndex: number): void {}

  scaleModelInput(sample: Tensor, _timestep: number): Tensor {
    return sample
  }

  addNoise(originalSamples: Tensor, noise: Tensor, timestep: number): Tensor {
    const alphaProd = this.alphaCumprodAt(timestep)
    return weightedSum([Math.sqrt(alphaProd), originalSamples], [Math.sqrt(1 - alphaProd), noise])
  }

  /** ᾱ_t; the final one for t < 0. */
  protected alphaCumprodAt(timestep: number): number {
    const value = timestep < 0 ? this.#finalAlphaCumprod : this.#alphasCumprod[timestep]
    if (value === undefined)
      throw new EngineError(
        'argument',
        `The timestep ${timestep} is none of the ${this.#alphasCumprod.length} that the model was trained on.`,
      )
    return value
  }
}
