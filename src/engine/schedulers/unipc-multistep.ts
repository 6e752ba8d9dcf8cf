/** UniPC: Zhao et al., "UniPC: a unified predictor-corrector framework for fast sampling of diffusion models" (2023), algorithms 1 and 2. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { LAMBDA_DEFAULTS, LambdaScheduler } from './lambda-scheduler.ts'
import { constrain, PREDICTION_TYPES, predictEpsilon, predictOriginal, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOutput } from './scheduler.ts'
import { FINAL_SIGMAS_TYPES, SIGMA_DEFAULTS } from './sigmas.ts'
import { multistepTimesteps, requireSteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...LAMBDA_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  predict_x0: true,
  solver_type: 'bh2',
  lower_order_final: true,
  disable_corrector: [] as readonly number[],
  solver_p: null,
  ...SIGMA_DEFAULTS,
  timestep_spacing: 'linspace',
  steps_offset: 0,
  final_sigmas_type: 'zero',
  rescale_betas_zero_snr: false,
  sigma_min: null as number | null,
  sigma_max: null as number | null,
  shift_terminal: null,
}

export class UniPCMultistepScheduler extends LambdaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
  readonly #finalSigma = requireOneOf(this.settings, 'final_sigmas_type', FINAL_SIGMAS_TYPES)
  readonly #solverType = requireOneOf(this.settings, 'solver_type', ['bh1', 'bh2'])
  /** The corrected sample that the last step started from, and that step's order. */
  #last: { sample: Tensor; order: number } | undefined

  constructor(config: SchedulerConfig = {}) {
    const foreign = ['midpoint', 'heun', 'logrho'].includes(String(config.solver_type))
    super('UniPCMultistepScheduler', DEFAULTS, foreign ? { ...config, solver_type: 'bh2' } : config)
  }

  static fromConfig(config: SchedulerConfig): UniPCMultistepScheduler {
    return new UniPCMultistepScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    requireSteps(numInferenceSteps, this.settings.num_train_timesteps)
    const spaced = multistepTimesteps(this.#spacing, numInferenceSteps, this.settings)
    const { timesteps, sigmas, spread } = this.schedule(numInferenceSteps, spaced)
    const smallest = spread ? sigmas.at(-1)! : this.trainingSigmas[0]!
    this.begin(timesteps, [...sigmas, this.#finalSigma === 'zero' ? 0 : smallest])
    this.#last = undefined
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const { solver_order, lower_order_final, disable_corrector } = this.settings
    const i = this.index.due(timestep, this.timesteps)
    const { alpha, sigma } = this.noiseLevel(i)
    const x0 = constrain(predictOriginal(this.#predictionType, modelOutput, sample, alpha, sigma), this.settings)
    const output = this.settings.predict_x0
      ? x0
      : predictEpsilon(this.#predictionType, modelOutput, sample, alpha, sigma)

    const corrects = this.#last && i > 0 && !disable_corrector.includes(i - 1)
    const corrected = corrects ? this.#update(i - 1, this.#last!.sample, this.#last!.order, output) : sample
    this.remember(output)
    const fit = lower_order_final ? Math.min(solver_order, this.timesteps.length - i) : solver_order
    const order = Math.min(fit, this.outputs.length)
    this.#last = { sample: corrected, order }
    const prevSample = this.#update(i, corrected, order)
    this.index.advance()
    return { prevSample, predOriginalSample: x0 }
  }

  /**
   * UniP over step `i`, or, given the output at its end, UniC (equations 3 and 9): both weigh the differences of the outputs
   * by ρ, the solution of R(h) ρ = b(h).
   */
  #update(i: number, sample: Tensor, order: number, outputAtEnd?: Tensor): Tensor {
    const from = this.noiseLevel(i)
    const to = this.noiseLevel(i + 1)
    const h = to.lambda - from.lambda
    const m0 = this.outputs[0]!
    const rates = Array.from({ length: order - 1 }, (_, k) => (this.noiseLevel(i - 1 - k).lambda - from.lambda) / h)
    const differences = rates.map((rate, k) => weightedSum([1 / rate, this.outputs[k + 1]!], [-1 / rate, m0]))
    if (outputAtEnd) {
      rates.push(1)
      differences.push(weightedSum([1, outputAtEnd], [-1, m0]))
    }

    const { predict_x0 } = this.settings
    const hh = predict_x0 ? -h : h
    const phi = Math.expm1(hh)
    const b = this.#solverType === 'bh1' ? hh : phi
    const rhos = combinationWeights(rates, hh, b)
    const outputWeight = predict_x0 ? to.alpha : to.sigma
    return weightedSum(
      [predict_x0 ? to.sigma / from.sigma : to.alpha / from.alpha, sample],
      [-outputWeight * phi, m0],
      ...differences.map((difference, k) => [-outputWeight * b * rhos[k]!, difference] as const),
    )
  }
}

/** ρ of equation 5, for any order; ½ for a single difference, as the paper recommends. */
function combinationWeights(rates: readonly number[], hh: number, b: number): number[] {
  if (rates.length === 1) return [1 / 2]
  const right: number[] = []
  let phi = Math.expm1(hh) / hh - 1
  let factorial = 1
  for (let k = 1; k <= rates.length; k++) {
    right.push((phi * factorial) / b)
    factorial *= k + 1
    phi = phi / hh - 1 / factorial
  }
  return solveVandermonde(rates, right)
}

/** Σ_k r_kⁿ ρ_k = right_n for n = 0, 1, …: each ρ from the Lagrange polynomial that is 1 at r_k and 0 at the others. */
function solveVandermonde(nodes: readonly number[], right: readonly number[]): number[] {
  return nodes.map((node, k) => {
    let polynomial = [1]
    nodes.forEach((other, j) => {
      if (j === k) return
      const scale = node - other
      const shifted = [0, ...polynomial]
      polynomial = shifted.map((c, n) => (c - other * (polynomial[n] ?? 0)) / scale)
    })
    return polynomial.reduce((sum, c, n) => sum + c * right[n]!, 0)
  })
}
