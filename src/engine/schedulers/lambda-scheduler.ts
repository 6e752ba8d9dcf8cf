/**
 * What the exponential integrators have in common (DPM-Solver, UniPC, DEIS): x = α x₀ + σ_t ε stepped along λ = log(α / σ_t).
 *
 * `sigmas` hold σ = σ_t / α, so α = 1 / √(σ² + 1) and λ = −log σ.
 */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { alphasCumprod, type BETA_DEFAULTS } from './betas.ts'
import { completeConfig, type Settings, settingsOf } from './config.ts'
import type { THRESHOLD_DEFAULTS } from './prediction.ts'
import type { SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import {
  type SIGMA_DEFAULTS,
  type SigmaRule,
  sigmaAt,
  sigmaRule,
  spreadSigmas,
  timestepOf,
  trainingSigmas,
} from './sigmas.ts'
import { StepIndex } from './step-index.ts'
import { roundHalfToEven } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

export const LAMBDA_DEFAULTS = {
  solver_order: 2,
  prediction_type: 'epsilon',
  use_flow_sigmas: false,
  flow_shift: 1,
  use_dynamic_shifting: false,
  time_shift_type: 'exponential',
}

type LambdaDefaults = SchedulerConfig &
  typeof BETA_DEFAULTS &
  typeof SIGMA_DEFAULTS &
  typeof THRESHOLD_DEFAULTS &
  typeof LAMBDA_DEFAULTS & { rescale_betas_zero_snr?: boolean; use_lu_lambdas?: boolean }

/** One noise level: the weights of image and noise in the sample, and half the log signal-to-noise ratio. */
export interface NoiseLevel {
  alpha: number
  sigma: number
  lambda: number
}

export abstract class LambdaScheduler<Defaults extends LambdaDefaults> {
  readonly config: SchedulerConfig
  readonly order = 1
  readonly initNoiseSigma = 1
  timesteps: number[] = []
  /** The noise level at each step's start, and after the last one where the sampling ends. */
  sigmas = new Float32Array()
  protected readonly settings: Settings<Defaults>
  protected readonly trainingSigmas: Float32Array
  protected readonly index = new StepIndex()
  /** What the solver keeps of the last steps' model outputs, the newest first. */
  protected outputs: Tensor[] = []
  readonly #rule: SigmaRule | undefined

  constructor(className: string, defaults: Defaults, config: SchedulerConfig) {
    const complete = completeConfig(className, defaults, config)
    this.config = complete
    this.settings = settingsOf(complete, defaults)
    this.trainingSigmas = trainingSigmas(alphasCumprod(this.settings))
    this.#rule = sigmaRule(this.settings)
    if (this.settings.use_flow_sigmas)
      throw new EngineError(
        'argument',
        `${className}: use_flow_sigmas is for flow matching models, which are not supported.`,
      )
    if (![1, 2, 3].includes(this.settings.solver_order))
      throw new EngineError(
        'argument',
        `${className}: solver_order is ${this.settings.solver_order} but must be 1, 2 or 3.`,
      )
  }

  abstract setTimesteps(numInferenceSteps: number, options?: SetTimestepsOptions): void
  abstract step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions): StepOutput

  setBeginIndex(beginIndex: number): void {
    this.index.setBegin(beginIndex)
  }

  scaleModelInput(sample: Tensor, _timestep: number): Tensor {
    return sample
  }

  addNoise(originalSamples: Tensor, noise: Tensor, timestep: number): Tensor {
    const { alpha, sigma } = this.noiseLevel(this.index.forNoise(timestep, this.timesteps))
    return weightedSum([alpha, originalSamples], [sigma, noise])
  }

  protected noiseLevel(stepIndex: number): NoiseLevel {
    const sigma = this.sigmas[stepIndex]!
    const { fround, log, sqrt } = Math
    const alpha = fround(1 / fround(sqrt(fround(fround(sigma * sigma) + 1))))
    const noise = fround(sigma * alpha)
    return { alpha, sigma: noise, lambda: fround(fround(log(alpha)) - fround(log(noise))) }
  }

  /** A new sampling begins. */
  protected begin(timesteps: readonly number[], sigmas: readonly number[]): void {
    this.timesteps = [...timesteps]
    this.sigmas = Float32Array.from(sigmas)
    this.index.reset()
    this.outputs = []
  }

  protected remember(output: Tensor): void {
    this.outputs = [output, ...this.outputs].slice(0, this.settings.solver_order)
  }

  /**
   * Whole timesteps with the noise levels that they were trained at, or, where the config has a rule for sigmas (`spread`),
   * that rule's noise levels with their timesteps. Without the final noise level.
   */
  protected schedule(
    numInferenceSteps: number,
    spaced: readonly number[],
    custom?: readonly number[],
    mayRound = true,
  ): { timesteps: number[]; sigmas: number[]; spread: boolean } {
    const timesteps = [...(custom ?? spaced)]
    if (!this.#rule) return { timesteps, sigmas: timesteps.map((t) => sigmaAt(t, this.trainingSigmas)), spread: false }
    if (custom)
      throw new EngineError(
        'argument',
        `${this.settings._class_name}: custom timesteps cannot follow a rule for sigmas.`,
      )
    const max = this.trainingSigmas.at(-1)!
    const sigmas = spreadSigmas(this.#rule, this.config, max, this.trainingSigmas[0]!, numInferenceSteps)
    // diffusers rounds the timesteps of these rules and cuts the others'.
    const rounds = this.settings.use_karras_sigmas || this.settings.use_lu_lambdas
    const whole = rounds && mayRound ? roundHalfToEven : Math.trunc
    return { timesteps: sigmas.map((sigma) => whole(timestepOf(sigma, this.trainingSigmas))), sigmas, spread: true }
  }

  /** The training timesteps whose λ is at least `lambda_min_clipped`, counted from 0: some models are unstable past them. */
  protected usableTimesteps(lambdaMin: number): number {
    const clipped = this.trainingSigmas.filter((sigma) => -Math.log(sigma) < lambdaMin).length
    return this.settings.num_train_timesteps - clipped
  }
}
