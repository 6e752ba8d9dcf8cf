/** Every scheduler by diffusers' class name, and the choice among them by a config's `_class_name`. */

import { EngineError } from '../errors.ts'
import { DDIMScheduler } from './ddim.ts'
import { EulerDiscreteScheduler } from './euler-discrete.ts'
import type { Scheduler, SchedulerClass, SchedulerConfig } from './scheduler.ts'

export { DDIMScheduler, EulerDiscreteScheduler }

const SCHEDULERS: readonly SchedulerClass[] = [DDIMScheduler, EulerDiscreteScheduler]

/** @throws EngineError 'model' that names the supported classes when `_class_name` is none of them. */
export function schedulerFromConfig(config: SchedulerConfig): Scheduler {
  const found = SCHEDULERS.find(({ name }) => name === config._class_name)
  if (!found)
    throw new EngineError(
      'model',
      `The model's scheduler ${JSON.stringify(config._class_name)} is not supported; set "_class_name" in its scheduler_config.json to one of ${SCHEDULERS.map(({ name }) => name).join(', ')}.`,
    )
  return found.fromConfig(config)
}
