/** The room's door: every scheduler class, and the choice among them by a config's `_class_name`. */

import { EngineError } from '../errors.ts'
import * as classes from './classes.ts'
import type { Scheduler, SchedulerClass, SchedulerConfig } from './scheduler.ts'

export * from './classes.ts'

/** The supported classes, for a choice by name. */
export const SCHEDULERS: readonly SchedulerClass[] = Object.values(classes)

/** @throws EngineError 'model' that names the supported classes when `_class_name` is none of them. */
export function schedulerFromConfig(config: SchedulerConfig): Scheduler {
  const found = SCHEDULERS.find(({ name }) => name === config._class_name)
  if (found) return found.fromConfig(config)
  const names = SCHEDULERS.map(({ name }) => name).join(', ')
  throw new EngineError(
    'model',
    `The scheduler ${JSON.stringify(config._class_name)} is not supported; set _class_name in the model's scheduler_config.json to one of ${names}.`,
  )
}
