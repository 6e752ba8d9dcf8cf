/** Which of the training timesteps a sampling of n steps visits: Lin et al. (2023), table 2. */

import { EngineError } from '../errors.ts'
export const TIMESTEP_SPACINGS = ['linspace', 'leading', 'trailing'] as const
export type TimestepSpacing = (typeof TIMESTEP_SPACINGS)[number]

/** @throws EngineError 'argument' unless `numInferenceSteps` is a whole number from 1 to `most`. */
export function requireSteps(numInferenceSteps: number, most: number): void {
  if (!Number.isInteger(numInferenceSteps) || numInferenceSteps < 1 || numInferenceSteps > most)
    throw new EngineError(
      'argument',
      `numInferenceSteps is ${numInferenceSteps} but must be a whole number from 1 to ${most}, the timesteps that the model was trained on.`,
    )
}

/** @throws EngineError 'argument' unless custom timesteps are whole, in range and descending. */
export function requireDescending(timesteps: readonly number[], numTrainTimesteps: number): void {
  const valid = timesteps.every(
    (t, i) => Number.isInteger(t) && t >= 0 && t < (i === 0 ? numTrainTimesteps : timesteps[i - 1]!),
  )
  if (!valid || timesteps.length === 0)
    throw new EngineError(
      'argument',
      `timesteps must be whole numbers in descending order, from ${numTrainTimesteps - 1} down to 0 at most.`,
    )
}

/** Descending, from `last` to 0, both included, not rounded. */
export function linspaceTimesteps(last: number, count: number): number[] {
  if (count === 1) return [0]
  const step = last / (count - 1)
  return Array.from({ length: count }, (_, i) => (i === 0 ? last : (count - 1 - i) * step))
}

/** Descending multiples of `ratio` down to `offset`. */
export function leadingTimesteps(ratio: number, count: number, offset: number): number[] {
  return Array.from({ length: count }, (_, i) => (count - 1 - i) * ratio + offset)
}

/** Descending from `start` − 1 in steps of `ratio`, rounded. */
export function trailingTimesteps(start: number, ratio: number, count: number): number[] {
  // numpy's arange adds the difference of its first two elements, not the step it was given.
  const delta = start - ratio - start
  return Array.from({ length: count }, (_, i) => roundHalfToEven(start + i * delta) - 1)
}

/** `numInferenceSteps` timesteps over all that were trained; `linspace` alone gives fractions. */
export function spacedTimesteps(
  spacing: TimestepSpacing,
  numInferenceSteps: number,
  config: { num_train_timesteps: number; steps_offset: number },
): number[] {
  const trained = config.num_train_timesteps
  switch (spacing) {
    case 'linspace':
      return linspaceTimesteps(trained - 1, numInferenceSteps)
    case 'leading':
      return leadingTimesteps(Math.floor(trained / numInferenceSteps), numInferenceSteps, config.steps_offset)
    case 'trailing':
      return trailingTimesteps(trained, trained / numInferenceSteps, numInferenceSteps)
  }
}

/** The same as whole numbers. */
export function roundedTimesteps(...args: Parameters<typeof spacedTimesteps>): number[] {
  return spacedTimesteps(...args).map(roundHalfToEven)
}

/**
 * Whole timesteps for multistep solvers, whose last step ends before timestep 0: linspace and leading lay out one more and
 * leave the last out.
 *
 * @param usable How many of the training timesteps may be visited, counted from 0.
 */
export function multistepTimesteps(
  spacing: TimestepSpacing,
  numInferenceSteps: number,
  config: { num_train_timesteps: number; steps_offset: number },
  usable = config.num_train_timesteps,
): number[] {
  const count = numInferenceSteps + 1
  switch (spacing) {
    case 'linspace':
      return linspaceTimesteps(usable - 1, count)
        .slice(0, -1)
        .map(roundHalfToEven)
    case 'leading':
      return leadingTimesteps(Math.floor(usable / count), count, config.steps_offset).slice(0, -1)
    case 'trailing': {
      const ratio = config.num_train_timesteps / numInferenceSteps
      return trailingTimesteps(usable, ratio, Math.min(numInferenceSteps, Math.ceil(usable / ratio)))
    }
  }
}

/** As numpy rounds. */
export function roundHalfToEven(x: number): number {
  const rounded = Math.round(x)
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}
