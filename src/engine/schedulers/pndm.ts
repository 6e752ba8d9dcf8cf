/** PNDM: Liu, Ren, Lin and Zhao, "Pseudo numerical methods for diffusion models on manifolds" (2022), equations 11 to 13. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { AlphaScheduler } from './alpha-scheduler.ts'
import { BETA_DEFAULTS } from './betas.ts'
import { requireOneOf } from './config.ts'
import { predictOriginal } from './prediction.ts'
import type { Scheduler, SchedulerConfig, StepOutput } from './scheduler.ts'
import { requireSteps, roundedTimesteps, TIMESTEP_SPACINGS } from './timesteps.ts'
import { type Term, weightedSum } from './weighted-sum.ts'

const DEFAULTS = {
  ...BETA_DEFAULTS,
  skip_prk_steps: false,
  set_alpha_to_one: false,
  prediction_type: 'epsilon',
  timestep_spacing: 'leading',
  steps_offset: 0,
}

/** The steps that the Runge–Kutta start takes, each four evaluations but the last, to fill the multistep's history. */
const PRK_STEPS = 4

/** Weights of the last outputs, the newest first, as long as the history is. */
const ADAMS_BASHFORTH = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]]

export class PNDMScheduler extends AlphaScheduler<typeof DEFAULTS> implements Scheduler {
  readonly #predictionType = requireOneOf(this.settings, 'prediction_type', ['epsilon', 'v_prediction'])
  readonly #spacing = requireOneOf(this.settings, 'timestep_spacing', TIMESTEP_SPACINGS)
  #stride = 0
  #prkTimesteps: number[] = []
  #counter = 0
  /** The model's last outputs, the newest first. */
  #outputs: Tensor[] = []
  /** The weighted sum of a Runge–Kutta step's outputs so far. */
  #prkOutput: Tensor | undefined
  /** Where a step of several evaluations started. */
  #start: Tensor | undefined

  constructor(config: SchedulerConfig = {}) {
    super('PNDMScheduler', DEFAULTS, config)
  }

  static fromConfig(config: SchedulerConfig): PNDMScheduler {
    return new PNDMScheduler(config)
  }

  setTimesteps(numInferenceSteps: number): void {
    const { num_train_timesteps, skip_prk_steps } = this.settings
    requireSteps(numInferenceSteps, num_train_timesteps)
    if (!skip_prk_steps && numInferenceSteps < PRK_STEPS)
      throw new EngineError(
        'argument',
        `PNDMScheduler needs at least ${PRK_STEPS} steps for its Runge–Kutta start: take more, or set skip_prk_steps.`,
      )
    const spaced = roundedTimesteps(this.#spacing, numInferenceSteps, this.settings)
    this.#stride = Math.floor(num_train_timesteps / numInferenceSteps)
    // Without that start the second timestep is evaluated twice: a Heun step.
    this.#prkTimesteps = skip_prk_steps ? [] : prkTimesteps(spaced, Math.floor(this.#stride / 2))
    const plmsTimesteps = skip_prk_steps ? [...spaced.slice(0, 2), ...spaced.slice(1)] : spaced.slice(PRK_STEPS - 1)
    this.timesteps = [...this.#prkTimesteps, ...plmsTimesteps]
    this.#counter = 0
    this.#outputs = []
    this.#prkOutput = undefined
    this.#start = undefined
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const result =
      this.#counter < this.#prkTimesteps.length
        ? this.#prk(modelOutput, timestep, sample)
        : this.#plms(modelOutput, timestep, sample)
    this.#counter++
    return result
  }

  /** Equation 13: classical Runge–Kutta weights. */
  #prk(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    const stage = this.#counter % 4
    const from = this.#prkTimesteps[this.#counter - stage]!
    const to = timestep - (stage % 2 === 0 ? Math.floor(this.#stride / 2) : 0)
    if (stage === 0) {
      this.#start = sample
      this.#outputs = [modelOutput, ...this.#outputs]
    }
    const weight = stage === 0 || stage === 3 ? 1 / 6 : 1 / 3
    const sum = this.#prkOutput
      ? weightedSum([1, this.#prkOutput], [weight, modelOutput])
      : weightedSum([weight, modelOutput])
    this.#prkOutput = stage === 3 ? undefined : sum
    return this.#transfer(this.#start ?? sample, from, to, [[1, stage === 3 ? sum : modelOutput]])
  }

  /** Equation 12: Adams–Bashforth, of rising order while the history fills. */
  #plms(modelOutput: Tensor, timestep: number, sample: Tensor): StepOutput {
    if (this.#counter === 1) {
      const start = this.#start ?? sample
      const outputs: Term[] = [
        [1 / 2, modelOutput],
        [1 / 2, this.#outputs[0]!],
      ]
      return this.#transfer(start, timestep + this.#stride, timestep, outputs)
    }
    if (this.#counter === 0) this.#start = sample
    this.#outputs = [modelOutput, ...this.#outputs].slice(0, 4)
    const weights = ADAMS_BASHFORTH[this.#outputs.length - 1]!
    const outputs = this.#outputs.map((output, i): Term => [weights[i]!, output])
    return this.#transfer(sample, timestep, timestep - this.#stride, outputs)
  }

  /** Equation 11: from one timestep to another along a noise prediction, the weighted sum of the outputs. */
  #transfer(sample: Tensor, from: number, to: number, outputs: readonly Term[]): StepOutput {
    const alphaProd = this.alphaCumprodAt(from)
    const alphaProdPrev = this.alphaCumprodAt(to)
    const alpha = Math.sqrt(alphaProd)
    const sigma = Math.sqrt(1 - alphaProd)
    const sampleWeight = Math.sqrt(alphaProdPrev / alphaProd)
    const epsilonWeight =
      (alphaProd - alphaProdPrev) /
      (alphaProd * Math.sqrt(1 - alphaProdPrev) + Math.sqrt(alphaProd * (1 - alphaProd) * alphaProdPrev))
    // ε = α v + σ x. One sum of sample and outputs, with no tensor for ε in between.
    const [ofOutput, ofSample] = this.#predictionType === 'v_prediction' ? [alpha, sigma] : [1, 0]
    const terms: Term[] = [[sampleWeight + epsilonWeight * ofSample, sample]]
    for (const [weight, output] of outputs) terms.push([epsilonWeight * ofOutput * weight, output])
    const prevSample = weightedSum(...terms)
    const predict = () => predictOriginal(this.#predictionType, weightedSum(...outputs), sample, alpha, sigma)
    return new TransferOutput(prevSample, predict)
  }
}

/** The predicted image is not part of the method: worked out for those who look. */
class TransferOutput implements StepOutput {
  readonly prevSample: Tensor
  readonly #predict: () => Tensor

  constructor(prevSample: Tensor, predict: () => Tensor) {
    this.prevSample = prevSample
    this.#predict = predict
  }

  get predOriginalSample(): Tensor {
    return this.#predict()
  }
}

/** The first three of four timesteps, each with its midpoint on the way to the next, in the order of evaluation. */
function prkTimesteps(spaced: readonly number[], halfStride: number): number[] {
  const [t0, t1, t2, t3] = spaced as [number, number, number, number]
  const steps = [
    [t0, t1 + halfStride, t1 + halfStride, t1],
    [t1, t2 + halfStride, t2 + halfStride, t2],
    [t2, t3 + halfStride, t3 + halfStride, t3],
  ]
  return steps.flat()
}
