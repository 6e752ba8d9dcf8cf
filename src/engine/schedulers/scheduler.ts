/** What every scheduler offers the denoising loop, under diffusers' names (`schedulers/scheduling_utils.py`). */

import type { Generators } from '../random/generator.ts'
import type { Tensor } from '../tensor.ts'

/** A `scheduler_config.json`, its snake_case keys kept; keys that a class does not know are carried along untouched. */
export type SchedulerConfig = Readonly<Record<string, unknown>>

export interface SetTimestepsOptions {
  /** Custom timesteps, descending, in place of evenly spaced ones. */
  timesteps?: readonly number[]
  /** LCM and TCD: the length of the schedule that the model was distilled on. */
  originalInferenceSteps?: number
  /** LCM's image-to-image: the part of the schedule that runs, 0..1. */
  strength?: number
}

export interface StepOptions {
  /**
   * DDIM: weight of the added noise, 0..1 (0 when absent). TCD: its stochasticity γ, 0..1 (0.3 when absent). diffusers'
   * pipelines hand their own `eta`, 0 by default, to every scheduler whose step takes one: pass it always.
   */
  eta?: number
  /** Where ancestral, SDE, DDPM, LCM and TCD methods draw their noise. */
  generator?: Generators
}

export interface StepOutput {
  /** The less noisy latents, same dims as the sample. */
  prevSample: Tensor
  /** The image that this step predicts, where the method computes one; for previews. */
  predOriginalSample?: Tensor
}

/** One sampling's state: made with `fromConfig`, told its steps once, then stepped through `timesteps` in order. */
export interface Scheduler {
  readonly config: SchedulerConfig
  /** Model evaluations for one inference step: 2 for Heun and KDPM2. */
  readonly order: number
  /** What unit noise is multiplied with at the start. */
  readonly initNoiseSigma: number
  /** The timesteps that the loop visits, in order, each one model evaluation. */
  readonly timesteps: readonly number[]
  setTimesteps(numInferenceSteps: number, options?: SetTimestepsOptions): void
  /** Image-to-image: the index in `timesteps` at which the loop begins, for methods that look up their place by index. */
  setBeginIndex(beginIndex: number): void
  /** Scales the model's input for this timestep; returns `sample` itself where the method needs no scaling. */
  scaleModelInput(sample: Tensor, timestep: number): Tensor
  /** One step back. Multistep methods keep the tensors they are given: do not overwrite those afterwards. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions): StepOutput
  /** Forward diffusion to `timestep`, same for every row. */
  addNoise(originalSamples: Tensor, noise: Tensor, timestep: number): Tensor
}

/** A scheduler class: built from its JSON, as `EulerDiscreteScheduler.fromConfig(other.config)` builds it from another's. */
export interface SchedulerClass {
  readonly name: string
  fromConfig(config: SchedulerConfig): Scheduler
}
