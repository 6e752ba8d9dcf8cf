/** What is known of a job between two states: its place in line, its steps, and the seconds that are left. */

import type { Progress } from '../job/job.ts'
import type { Estimates } from './estimates.ts'
import type { Forecast } from './forecast.ts'
import type { Live } from './records.ts'

/** @param isKnown Whether anything was measured yet. */
export function waitProgress(place: Forecast | undefined, isKnown: boolean): Progress {
  if (!place) return {}
  return { position: place.position, ...(isKnown && { etaSeconds: place.doneIn / 1000 }) }
}

export function runProgress(live: Live, estimates: Estimates): Progress {
  if (live.job.state !== 'running' || !live.run) return {}
  const { step, steps, preview, opening } = live.run
  const etaSeconds = secondsLeft(live, estimates)
  return {
    ...(opening !== undefined && { opening }),
    ...(steps > 0 && { step, steps }),
    ...(etaSeconds !== undefined && { etaSeconds }),
    ...(preview && { preview }),
  }
}

/** Seconds at the engine from now: by its own pace once it has one, until then by that of the jobs before it. */
export function secondsLeft({ job, run }: Live, estimates: Estimates): number | undefined {
  const estimate = estimates.estimate(job.request)
  if (!run) return estimate
  const passed = (performance.now() - run.since) / 1000
  if (run.opening !== undefined)
    return estimate && estimate + Math.max(0, estimates.secondsToOpen(run.opening) - passed)
  if (run.step > 0) return (passed / run.step) * (run.steps - run.step)
  return estimate && Math.max(0, estimate - passed)
}
