/** Where a sampling stands in its schedule: diffusers' `step_index` and `begin_index`, and what follows from them. */

import { EngineError } from '../errors.ts'

export class StepIndex {
  #begin: number | undefined
  #step: number | undefined

  /** A new schedule: both forgotten. */
  reset(): void {
    this.#begin = undefined
    this.#step = undefined
  }

  setBegin(beginIndex: number): void {
    this.#begin = beginIndex
  }

  /**
   * The index of the step that is due; the first step of a sampling finds its place by `beginIndex`, else by timestep.
   *
   * @throws EngineError 'argument' for a timestep that is not in the schedule, and past its end.
   */
  due(timestep: number, timesteps: readonly number[]): number {
    this.#step ??= this.#begin ?? indexForTimestep(timestep, timesteps)
    if (this.#step < timesteps.length) return this.#step
    throw new EngineError('argument', 'This schedule is at its end: call setTimesteps before another sampling.')
  }

  advance(): void {
    this.#step! += 1
  }

  /** The index whose noise level `addNoise` gives: before the first step the beginning's, then that of the step due. */
  forNoise(timestep: number, timesteps: readonly number[]): number {
    if (this.#begin === undefined) return indexForTimestep(timestep, timesteps)
    return this.#step ?? this.#begin
  }
}

/** The second of equal timesteps, so that a start in the middle of a two-step method does not skip a noise level. */
function indexForTimestep(timestep: number, timesteps: readonly number[]): number {
  const first = timesteps.indexOf(timestep)
  if (first === -1)
    throw new EngineError(
      'argument',
      `The timestep ${timestep} is not in this schedule: call setTimesteps and pass one of scheduler.timesteps.`,
    )
  const second = timesteps.indexOf(timestep, first + 1)
  return second === -1 ? first : second
}
