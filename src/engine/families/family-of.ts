/** Which families there are, and which one a model is of. */

import type { Config } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import type { Family, Task } from './family.ts'
import { latentConsistency } from './latent-consistency.ts'
import { stableDiffusion } from './stable-diffusion.ts'
import { stableDiffusionXL } from './stable-diffusion-xl.ts'

/** The first whose class is named counts: a family may borrow another's class for a task that it has none for. */
const FAMILIES: readonly Family[] = [stableDiffusion, stableDiffusionXL, latentConsistency]

/** The plainest comes last: a file shows only what it has more than that. */
const BY_FILE: readonly Family[] = [stableDiffusionXL, latentConsistency, stableDiffusion]

const TASKS: readonly Task[] = ['text-to-image', 'image-to-image', 'inpaint']

/** As `_class_name` in `model_index.json` says; optimum writes ORT…, diffusers' script Onnx…, Flax Flax… before the name. */
export function familyOf(index: Config): { family: Family; task: Task } {
  const given = index._class_name
  // StableDiffusionPipelineSafe is StableDiffusionPipeline with another checker of its pictures.
  const className =
    typeof given === 'string' ? given.replace(/^(?:ORT|Onnx|Flax)/, '').replace(/PipelineSafe$/, 'Pipeline') : ''
  for (const family of FAMILIES)
    for (const task of TASKS) if (family.pipelines[task].className === className) return { family, task }
  throw new EngineError(
    'model',
    `The model's class ${JSON.stringify(given ?? null)} is not supported; use a model whose model_index.json says` +
      ' StableDiffusionPipeline, StableDiffusionXLPipeline, LatentConsistencyModelPipeline, or their Img2Img or Inpaint.',
  )
}

/** The family of a UNet, of which only the shapes are known. */
export function familyOfUNet(unet: Config): Family {
  return BY_FILE.find(({ singleFile }) => singleFile.recognises(unet)) ?? stableDiffusion
}
