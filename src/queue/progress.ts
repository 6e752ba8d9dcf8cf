/** What is known of a job between two states: its place in line, its steps, and the seconds that are left. */

import type { Progress } from '../job/job.ts'
import type { Forecast } from './forecast.ts'
import type { Live } from './records.ts'
import type { Speed } from './speed.ts'

export function waitProgress(place: Forecast | undefined, speed: Speed): Progress {
  if (!place) return {}
  if (speed.secondsPerPixelStep === undefined) return { position: place.position }
  return { position: place.position, etaSeconds: place.doneIn / 1000 }
}

export function runProgress(live: Live, speed: Speed): Progress {
  if (live.job.state !== 'running' || !live.run) return {}
  const { step, steps, preview } = live.run
  const etaSeconds = secondsLeft(live, speed)
  return {
    ...(steps > 0 && { step, steps }),
    ...(etaSeconds !== undefined && { etaSeconds }),
    ...(preview && { preview }),
  }
}

/** Seconds at the engine from now: by its own pace once it has one, until then by that of the jobs before it. */
export function secondsLeft({ job, run }: Live, speed: Speed): number | undefined {
  const estimate = speed.estimate(job.request)
  if (!run) return estimate
  const passed = (performance.now() - run.since) / 1000
  if (run.step > 0) return (passed / run.step) * (run.steps - run.step)
  return estimate && Math.max(0, estimate - passed)
}
