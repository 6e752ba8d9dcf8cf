/** DPM-Solver(++) singlestep: Lu et al., "DPM-Solver: a fast ODE solver for diffusion probabilistic model sampling" (2022), algorithms 1 and 2. */

import { randnTensor } from '../random/randn-tensor.ts'
import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { convertModelOutput, dpmUpdate, requireMethod, translated } from './dpm-solver.ts'
import { LAMBDA_DEFAULTS, LambdaScheduler } from './lambda-scheduler.ts'
import { PREDICTION_TYPES, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions, StepOptions, StepOutput } from './scheduler.ts'
import { FINAL_SIGMAS_TYPES, SIGMA_DEFAULTS } from './sigmas.ts'
import { multistepTimesteps, requireDescending, requireSteps } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...LAMBDA_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  algorithm_type: 'dpmsolver++',
  solver_type: 'midpoint',
  lower_order_final: false,
  ...SIGMA_DEFAULTS,
  final_sigmas_type: 'zero',
  lambda_min_clipped: Number.NEGATIVE_INFINITY,
  variance_type: null as string | null,
}

const ALGORITHMS = ['dpmsolver++', 'sde-dpmsolver++', 'dpmsolver'] as const

export class DPMSolverSinglestepScheduler extends LambdaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #finalSigma = requireOneOf(this.settings, 'final_sigmas_type', FINAL_SIGMAS_TYPES)
  readonly #method = requireMethod(this.settings, ALGORITHMS)
  /** The order of each step: it rises from 1 within a step of the paper, whose start is then `#start`. */
  #orders: number[] = []
  #start: Tensor | undefined

  constructor(config: SchedulerConfig = {}) {
    super('DPMSolverSinglestepScheduler', DEFAULTS, translated(config))
  }

  static fromConfig(config: SchedulerConfig): DPMSolverSinglestepScheduler {
    return new DPMSolverSinglestepScheduler(config)
  }

  setTimesteps(numInferenceSteps: number, { timesteps: custom }: SetTimestepsOptions = {}): void {
    const { num_train_timesteps, lambda_min_clipped } = this.settings
    if (custom) requireDescending(custom, num_train_timesteps)
    else requireSteps(numInferenceSteps, num_train_timesteps)
    const usable = this.usableTimesteps(lambda_min_clipped)
    const spaced = custom
      ? []
      : multistepTimesteps('linspace', numInferenceSteps, { num_train_timesteps, steps_offset: 0 }, usable)
    const { timesteps, sigmas } = this.schedule(numInferenceSteps, spaced, custom)
    this.begin(timesteps, [...sigmas, this.#finalSigma === 'zero' ? 0 : this.trainingSigmas[0]!])
    this.#orders = this.#orderList(timesteps.length)
    this.#start = undefined
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, { generator }: StepOptions = {}): StepOutput {
    const { algorithm, solverType } = this.#method
    const i = this.index.due(timestep, this.timesteps)
    const { converted, x0 } = convertModelOutput(
      algorithm,
      this.#predictionType,
      modelOutput,
      sample,
      this.noiseLevel(i),
      this.settings,
    )
    this.remember(converted)
    // A start in the middle may ask for more outputs than there are.
    const order = Math.min(this.#orders[i]!, this.outputs.length)
    if (order === 1 || !this.#start) this.#start = sample
    const levels = [this.noiseLevel(i + 1 - order), this.noiseLevel(i + 1)] as const
    const noise = algorithm.startsWith('sde') ? randnTensor(sample.dims, generator) : undefined
    const rule = order === 3 ? 'heun' : solverType
    const differences = this.#differences(i, order)
    const prevSample = dpmUpdate(algorithm, rule, levels, this.#start, differences, noise)
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }

  /** D₀, D₁, D₂ around the output at the start of the paper's step, the oldest of `order`. */
  #differences(i: number, order: number): [Tensor, Tensor?, Tensor?] {
    const [m0, m1, m2] = this.outputs as [Tensor, Tensor, Tensor]
    if (order === 1) return [m0]
    const start = this.noiseLevel(i + 1 - order).lambda
    const h = this.noiseLevel(i + 1).lambda - start
    const r0 = (this.noiseLevel(i).lambda - start) / h
    if (order === 2) return [m1, weightedSum([1 / r0, m0], [-1 / r0, m1])]

    const d11 = weightedSum([1 / r0, m0], [-1 / r0, m2])
    if (this.#method.solverType === 'midpoint') return [m2, d11]
    const r1 = (this.noiseLevel(i - 1).lambda - start) / h
    const d10 = weightedSum([1 / r1, m1], [-1 / r1, m2])
    const spread = r0 - r1
    const d1 = weightedSum([r0 / spread, d10], [-r1 / spread, d11])
    const d2 = weightedSum([2 / spread, d11], [-2 / spread, d10])
    return [m2, d1, d2]
  }

  /** Steps of the solver's order as long as they fit, then lower ones where the end asks for them. */
  #orderList(steps: number): number[] {
    const { solver_order: order, lower_order_final } = this.settings
    const toZero = this.#finalSigma === 'zero'
    const rising = Array.from({ length: order }, (_, k) => k + 1)
    const orders = Array.from({ length: steps }, (_, i) => rising[i % order]!)
    const lowerFinal = lower_order_final || toZero || steps % order !== 0
    // A last full step of the paper is split in two, so that its end is of first order.
    if (lowerFinal && order > 1 && steps % order === 0) orders[steps - 1] = 1
    if (toZero) orders[steps - 1] = 1
    return orders
  }
}
