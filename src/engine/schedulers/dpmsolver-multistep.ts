/** DPM-Solver(++) multistep: Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models" (2022), algorithm 2. */

import { EngineError } from '../errors.ts'
import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { convertModelOutput, dpmUpdate, requireMethod, translated } from './dpm-solver.ts'
import { LAMBDA_DEFAULTS, LambdaScheduler } from './lambda-scheduler.ts'
import { PREDICTION_TYPES, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { FINAL_SIGMAS_TYPES, SIGMA_DEFAULTS } from './sigmas.ts'
import { multistepTimesteps, requireDescending, requireSteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...LAMBDA_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  algorithm_type: 'dpmsolver++',
  solver_type: 'midpoint',
  lower_order_final: true,
  euler_at_final: false,
  ...SIGMA_DEFAULTS,
  use_lu_lambdas: false,
  final_sigmas_type: 'zero',
  lambda_min_clipped: Number.NEGATIVE_INFINITY,
  variance_type: null as string | null,
  timestep_spacing: 'linspace',
  steps_offset: 0,
  rescale_betas_zero_snr: false,
}

const ALGORITHMS = ['dpmsolver++', 'sde-dpmsolver++', 'dpmsolver', 'sde-dpmsolver'] as const
/** Below this many steps the last ones lower their order, for stability. */
const FEW_STEPS = 15

export class DPMSolverMultistepScheduler extends LambdaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
  readonly #finalSigma = requireOneOf(this.settings, 'final_sigmas_type', FINAL_SIGMAS_TYPES)
  readonly #method = requireMethod(this.settings, ALGORITHMS)

  constructor(config: SchedulerConfig = {}) {
    super('DPMSolverMultistepScheduler', DEFAULTS, translated(config))
    if (this.settings.solver_order === 3 && this.#method.algorithm === 'sde-dpmsolver')
      throw new EngineError('argument', 'DPMSolverMultistepScheduler: sde-dpmsolver has solver_order 1 or 2 only.')
  }

  static fromConfig(config: SchedulerConfig): DPMSolverMultistepScheduler {
    return new DPMSolverMultistepScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, { timesteps: custom }: SetTimestepsOptions = {}): void {
    const { num_train_timesteps, lambda_min_clipped, beta_schedule } = this.settings
    if (custom) requireDescending(custom, num_train_timesteps)
    else requireSteps(numInferenceSteps, num_train_timesteps)
    const usable = this.usableTimesteps(lambda_min_clipped)
    const spaced = custom ? [] : multistepTimesteps(this.#spacing, numInferenceSteps, this.settings, usable)
    const { timesteps, sigmas } = this.schedule(
      numInferenceSteps,
      spaced,
      custom,
      beta_schedule !== 'squaredcos_cap_v2',
    )
    this.begin(timesteps, [...sigmas, this.#finalSigma === 'zero' ? 0 : this.trainingSigmas[0]!])
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const { algorithm, solverType } = this.#method
    const i = this.index.due(timestep, this.timesteps)
    const from = this.noiseLevel(i)
    const { converted, x0 } = convertModelOutput(
      algorithm,
      this.#predictionType,
      modelOutput,
      sample,
      from,
      this.settings,
    )
    this.remember(converted)
    const order = this.#orderAt(i)
    const rule = order === 3 ? 'heun' : solverType
    const differences = this.#differences(i, order)
    const noise = algorithm.startsWith('sde') ? randnTensor(sample.dims, generator) : undefined
    const prevSample = dpmUpdate(algorithm, rule, [from, this.noiseLevel(i + 1)], sample, differences, noise)
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }

  /** The order of a step: no more than there are outputs, and lower at the end. */
  #orderAt(i: number): number {
    const { lower_order_final, euler_at_final } = this.settings
    const left = this.timesteps.length - i
    const few = lower_order_final && this.timesteps.length < FEW_STEPS
    if (left === 1 && (euler_at_final || few || this.#finalSigma === 'zero')) return 1
    return Math.min(this.outputs.length, left === 2 && few ? 2 : 3)
  }

  /** D₀, D₁, D₂: the newest output and its first and second divided differences in λ, scaled by the step's length. */
  #differences(i: number, order: number): [Tensor, Tensor?, Tensor?] {
    const [m0, m1, m2] = this.outputs as [Tensor, Tensor, Tensor]
    if (order === 1) return [m0]
    const h = this.noiseLevel(i + 1).lambda - this.noiseLevel(i).lambda
    const r0 = (this.noiseLevel(i).lambda - this.noiseLevel(i - 1).lambda) / h
    const d10 = weightedSum([1 / r0, m0], [-1 / r0, m1])
    if (order === 2) return [m0, d10]

    const r1 = (this.noiseLevel(i - 1).lambda - this.noiseLevel(i - 2).lambda) / h
    const d11 = weightedSum([1 / r1, m1], [-1 / r1, m2])
    const bend = r0 / (r0 + r1)
    const d1 = weightedSum([1 + bend, d10], [-bend, d11])
    const d2 = weightedSum([1 / (r0 + r1), d10], [-1 / (r0 + r1), d11])
    return [m0, d1, d2]
  }
}
