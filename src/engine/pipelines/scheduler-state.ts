/** A pipeline's scheduler is a choice; each sampling gets one of its own, so that any number may run side by side. */

import type { Scheduler, SchedulerClass, SchedulerConfig } from '../schedulers/scheduler.ts'

export function freshScheduler(scheduler: Scheduler): Scheduler {
  // Every value counts as given: a default of this class must not be taken for another's.
  return classOf(scheduler).fromConfig({ ...scheduler.config, _use_default_values: [] })
}

/**
 * diffusers' Stable Diffusion pipelines correct two settings of early models when they are built: `steps_offset` is 1 and
 * `clip_sample` is false, whatever the config says.
 */
export function mendedScheduler(scheduler: Scheduler): Scheduler {
  const { config } = scheduler
  const mended: Record<string, unknown> = {}
  if (typeof config.steps_offset === 'number' && config.steps_offset !== 1) mended.steps_offset = 1
  if (config.clip_sample === true) mended.clip_sample = false
  if (Object.keys(mended).length === 0) return scheduler
  const unset = Array.isArray(config._use_default_values) ? config._use_default_values : []
  return classOf(scheduler).fromConfig({
    ...config,
    ...mended,
    _use_default_values: unset.filter((key) => !(String(key) in mended)),
  } satisfies SchedulerConfig)
}

function classOf(scheduler: Scheduler): SchedulerClass {
  return scheduler.constructor as unknown as SchedulerClass
}
