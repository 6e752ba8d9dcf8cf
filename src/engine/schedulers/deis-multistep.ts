/** DEIS: Zhang and Chen, "Fast sampling of diffusion models with exponential integrator" (2022), the ρAB-DEIS of appendix B in log ρ. */

import type { Tensor } from '../tensor.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { LAMBDA_DEFAULTS, LambdaScheduler } from './lambda-scheduler.ts'
import { constrain, PREDICTION_TYPES, predictEpsilon, predictOriginal, THRESHOLD_DEFAULTS } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOutput } from './scheduler.ts'
import { SIGMA_DEFAULTS } from './sigmas.ts'
import { multistepTimesteps, requireSteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  ...LAMBDA_DEFAULTS,
  ...THRESHOLD_DEFAULTS,
  algorithm_type: 'deis',
  solver_type: 'logrho',
  lower_order_final: true,
  ...SIGMA_DEFAULTS,
  timestep_spacing: 'linspace',
  steps_offset: 0,
}

/** Below this many steps the last ones lower their order, for stability. */
const FEW_STEPS = 15

export class DEISMultistepScheduler extends LambdaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', PREDICTION_TYPES)
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)

  constructor(config: SchedulerConfig = {}) {
    super('DEISMultistepScheduler', DEFAULTS, translated(config))
    requireOneOf(this.settings, 'algorithm_type', ['deis'])
    requireOneOf(this.settings, 'solver_type', ['logrho'])
  }

  static fromConfig(config: SchedulerConfig): DEISMultistepScheduler {
    return new DEISMultistepScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    requireSteps(numInferenceSteps, this.settings.num_train_timesteps)
    const spaced = multistepTimesteps(this.#spacing, numInferenceSteps, this.settings)
    const { timesteps, sigmas, spread } = this.schedule(numInferenceSteps, spaced)
    this.begin(timesteps, [...sigmas, spread ? sigmas.at(-1)! : this.trainingSigmas[0]!])
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const i = this.index.due(timestep, this.timesteps)
    const from = this.noiseLevel(i)
    const to = this.noiseLevel(i + 1)
    const predicted = predictOriginal(this.#predictionType, modelOutput, sample, from.alpha, from.sigma)
    const x0 = constrain(predicted, this.settings)
    this.remember(predictEpsilon('sample', x0, sample, from.alpha, from.sigma))

    const order = this.#orderAt(i)
    const nodes = Array.from({ length: order }, (_, k) => Math.log(this.sigmas[i - k]!))
    const terms = nodes.map((_, k) => {
      const weight = lagrangeIntegral(nodes, k, this.sigmas[i]!, this.sigmas[i + 1]!)
      return [to.alpha * weight, this.outputs[k]!] as const
    })
    this.index.advance()
    return { prevSample: weightedSum([to.alpha / from.alpha, sample], ...terms), predOriginalSample: x0 }
  }

  #orderAt(i: number): number {
    const left = this.timesteps.length - i
    const few = this.settings.lower_order_final && this.timesteps.length < FEW_STEPS
    return Math.min(this.outputs.length, few ? left : Number.POSITIVE_INFINITY)
  }
}

/** ∫ dρ from `start` to `end` of the polynomial in log ρ that is 1 at node k and 0 at the other nodes, up to three nodes. */
function lagrangeIntegral(nodes: readonly number[], k: number, start: number, end: number): number {
  const others = nodes.filter((_, j) => j !== k)
  const scale = others.reduce((product, other) => product * (nodes[k]! - other), 1)
  const [c, d] = others
  const antiderivative = (rho: number) => {
    const x = Math.log(rho)
    if (c === undefined) return rho
    if (d === undefined) return rho * (x - c - 1)
    return rho * (x ** 2 - (2 + c + d) * x + 2 + c + d + c * d)
  }
  return (antiderivative(end) - antiderivative(start)) / scale
}

/** Other multistep classes' names for the nearest thing here, as diffusers translates them between configs. */
function translated(config: SchedulerConfig): SchedulerConfig {
  const algorithm = ['dpmsolver', 'dpmsolver++'].includes(String(config.algorithm_type))
    ? { algorithm_type: 'deis' }
    : {}
  const foreign = ['midpoint', 'heun', 'bh1', 'bh2'].includes(String(config.solver_type))
  return { ...config, ...algorithm, ...(foreign ? { solver_type: 'logrho' } : {}) }
}
