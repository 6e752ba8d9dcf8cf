/** A pipeline's scheduler is a choice; each sampling gets one of its own, so that any number may run side by side. */

import type { Task } from '../families/family.ts'
import type { Scheduler, SchedulerClass, SchedulerConfig } from '../schedulers/scheduler.ts'

export function freshScheduler(scheduler: Scheduler): Scheduler {
  return classOf(scheduler).fromConfig(scheduler.config)
}

/**
 * diffusers' Stable Diffusion pipelines correct settings of early models when they are built, whatever the config says:
 * `steps_offset` is 1, `clip_sample` is false; in the inpainting pipeline not that but `skip_prk_steps`, which is true.
 */
export function mendedScheduler(scheduler: Scheduler, task: Task): Scheduler {
  const { config } = scheduler
  if (task === 'inpaint')
    return mendedOffset(config.skip_prk_steps === false ? changed(scheduler, { skip_prk_steps: true }) : scheduler)
  return mendedOffset(config.clip_sample === true ? changed(scheduler, { clip_sample: false }) : scheduler)
}

/** The offset alone, for a scheduler that is put in later: clipping is a class's own default there, and may be meant. */
export function mendedOffset(scheduler: Scheduler): Scheduler {
  const { steps_offset } = scheduler.config
  return typeof steps_offset === 'number' && steps_offset !== 1 ? changed(scheduler, { steps_offset: 1 }) : scheduler
}

function changed(scheduler: Scheduler, changes: SchedulerConfig): Scheduler {
  const { config } = scheduler
  const unset = Array.isArray(config._use_default_values) ? config._use_default_values : []
  return classOf(scheduler).fromConfig({
    ...config,
    ...changes,
    _use_default_values: unset.filter((key) => !(String(key) in changes)),
  })
}

function classOf(scheduler: Scheduler): SchedulerClass {
  return scheduler.constructor as unknown as SchedulerClass
}
