/** Every scheduler by diffusers' class name, and the choice among them by a config's `_class_name`. */

import { EngineError } from '../errors.ts'
import { DDIMScheduler } from './ddim.ts'
import { DDPMScheduler } from './ddpm.ts'
import { DEISMultistepScheduler } from './deis-multistep.ts'
import { DPMSolverMultistepScheduler } from './dpmsolver-multistep.ts'
import { DPMSolverSinglestepScheduler } from './dpmsolver-singlestep.ts'
import { EulerAncestralDiscreteScheduler } from './euler-ancestral-discrete.ts'
import { EulerDiscreteScheduler } from './euler-discrete.ts'
import { HeunDiscreteScheduler } from './heun-discrete.ts'
import { KDPM2AncestralDiscreteScheduler } from './kdpm2-ancestral-discrete.ts'
import { KDPM2DiscreteScheduler } from './kdpm2-discrete.ts'
import { LCMScheduler } from './lcm.ts'
import { LMSDiscreteScheduler } from './lms-discrete.ts'
import { PNDMScheduler } from './pndm.ts'
import type { Scheduler, SchedulerClass, SchedulerConfig } from './scheduler.ts'
import { TCDScheduler } from './tcd.ts'
import { UniPCMultistepScheduler } from './unipc-multistep.ts'

export {
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  KDPM2DiscreteScheduler,
  LCMScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  TCDScheduler,
  UniPCMultistepScheduler,
}

/** The supported classes, for a choice by name. */
export const SCHEDULERS: readonly SchedulerClass[] = [
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  KDPM2DiscreteScheduler,
  LCMScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  TCDScheduler,
  UniPCMultistepScheduler,
]

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
