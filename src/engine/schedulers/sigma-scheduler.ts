/** What the methods of k-diffusion have in common (Euler, LMS, Heun, KDPM2): x = x₀ + σ ε, scaled before the model sees it. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { alphasCumprod, type BETA_DEFAULTS } from './betas.ts'
import { completeConfig, requireOneOf, type Settings, settingsOf } from './config.ts'
import type { SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { type SigmaRule, sigmaAt, spreadSigmas, timestepOf, trainingSigmas } from './sigmas.ts'
import { StepIndex } from './step-index.ts'
import { requireSteps, spacedTimesteps, TIMESTEP_SPACINGS, type TimestepSpacing } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

type SigmaDefaults = SchedulerConfig &
  typeof BETA_DEFAULTS & { timestep_spacing: string; steps_offset: number; rescale_betas_zero_snr?: boolean }

export abstract class SigmaScheduler<Defaults extends SigmaDefaults> {
  readonly config: SchedulerConfig
  abstract readonly order: number
  timesteps: number[] = []
  /** The noise level at each step's start, and after the last one where the sampling ends. */
  sigmas: Float32Array
  protected readonly settings: Settings<Defaults>
  protected readonly trainingSigmas: Float32Array
  protected readonly index = new StepIndex()
  readonly #spacing: TimestepSpacing

  constructor(className: string, defaults: Defaults, config: SchedulerConfig) {
    const complete = completeConfig(className, defaults, config)
    this.config = complete
    this.settings = settingsOf(complete, defaults)
    this.#spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
    this.trainingSigmas = trainingSigmas(alphasCumprod(this.settings))
    this.sigmas = this.trainingSigmas
  }

  abstract setTimesteps(numInferenceSteps: number, options?: SetTimestepsOptions): void
  abstract step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions): StepOutput

  get initNoiseSigma(): number {
    const max = Math.max(...this.sigmas)
    return this.#spacing === 'leading' ? Math.sqrt(max * max + 1) : max
  }

  setBeginIndex(beginIndex: number): void {
    this.index.setBegin(beginIndex)
  }

  scaleModelInput(sample: Tensor, timestep: number): Tensor {
    const sigma = this.inputSigma(this.index.due(timestep, this.timesteps))
    return weightedSum([1 / Math.sqrt(sigma * sigma + 1), sample])
  }

  addNoise(originalSamples: Tensor, noise: Tensor, timestep: number): Tensor {
    const sigma = this.sigmas[this.index.forNoise(timestep, this.timesteps)]!
    return weightedSum([1, originalSamples], [sigma, noise])
  }

  /** The noise level of the sample that the model sees at this step. */
  protected inputSigma(stepIndex: number): number {
    return this.sigmas[stepIndex]!
  }

  /** A new sampling begins: float32 timesteps and noise levels, the final one included. */
  protected begin(timesteps: readonly number[], sigmas: readonly number[]): void {
    this.timesteps = timesteps.map(Math.fround)
    this.sigmas = Float32Array.from(sigmas)
    this.index.reset()
  }

  /** The same for methods of two evaluations a step: `between` holds the timestep of each step's second one. */
  protected beginTwoStage(timesteps: readonly number[], between: readonly number[], sigmas: readonly number[]): void {
    this.begin(
      timesteps.flatMap((t, k) => (k === 0 ? [t] : [between[k - 1]!, t])),
      [...sigmas.flatMap((sigma, k) => (k === 0 ? [sigma] : [sigma, sigma])), 0],
    )
  }

  /**
   * Timesteps, and their noise levels without the final one: those of the spacing, or as the rule spreads them.
   *
   * @param interpolate From timesteps to noise levels: linear between two training timesteps unless told otherwise.
   */
  protected schedule(
    numInferenceSteps: number,
    rule?: SigmaRule,
    custom?: readonly number[],
    interpolate = (timesteps: readonly number[]) => timesteps.map((t) => sigmaAt(t, this.trainingSigmas)),
  ): { timesteps: number[]; sigmas: number[] } {
    if (custom && rule)
      throw new EngineError(
        'argument',
        `${this.settings._class_name}: custom timesteps cannot follow a rule for sigmas.`,
      )
    if (!custom) requireSteps(numInferenceSteps, this.settings.num_train_timesteps)
    const timesteps = custom ?? spacedTimesteps(this.#spacing, numInferenceSteps, this.settings)
    const sigmas = interpolate(timesteps)
    if (!rule) return { timesteps: [...timesteps], sigmas }
    const spread = spreadSigmas(rule, this.config, sigmas[0]!, sigmas.at(-1)!, timesteps.length)
    return { timesteps: spread.map((sigma) => timestepOf(sigma, this.trainingSigmas)), sigmas: spread }
  }
}
