/** The timesteps of few-step models (LCM, TCD): a part of the schedule that the model was distilled on. */

import { EngineError } from '../errors.ts'
import type { SetTimestepsOptions } from './scheduler.ts'
import { requireDescending, requireSteps } from './timesteps.ts'

/** The last timestep of each of `originalSteps` equal parts of the training schedule, ascending; `strength` keeps the first. */
export function originTimesteps(numTrainTimesteps: number, originalSteps: number, strength: number): number[] {
  if (!Number.isInteger(originalSteps) || originalSteps < 1 || originalSteps > numTrainTimesteps)
    throw new EngineError(
      'argument',
      `originalInferenceSteps is ${originalSteps} but must be a whole number from 1 to ${numTrainTimesteps}.`,
    )
  const part = Math.floor(numTrainTimesteps / originalSteps)
  return Array.from({ length: Math.floor(originalSteps * strength) }, (_, i) => (i + 1) * part - 1)
}

/** `numInferenceSteps` evenly spaced ones of `origin`, descending, or the custom ones that `strength` leaves. */
export function distilledTimesteps(
  numInferenceSteps: number,
  origin: readonly number[],
  numTrainTimesteps: number,
  { timesteps, strength = 1 }: SetTimestepsOptions,
): number[] {
  if (timesteps) {
    requireDescending(timesteps, numTrainTimesteps)
    const kept = Math.min(Math.floor(timesteps.length * strength), timesteps.length)
    return timesteps.slice(timesteps.length - kept)
  }
  requireSteps(numInferenceSteps, numTrainTimesteps)
  if (numInferenceSteps > origin.length)
    throw new EngineError(
      'argument',
      `numInferenceSteps is ${numInferenceSteps} but the distilled schedule has ${origin.length} timesteps at strength ${strength}: take fewer steps or more strength.`,
    )
  const stride = origin.length / numInferenceSteps
  return Array.from({ length: numInferenceSteps }, (_, i) => origin.at(-1 - Math.floor(i * stride))!)
}
