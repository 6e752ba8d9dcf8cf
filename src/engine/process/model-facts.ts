/** What the bot must know of a model, open or not. */

import { familyOf } from '../families/family-of.ts'
import { describeSource, type ModelInfo } from '../pipelines/model-info.ts'
import type { PipelineSource } from '../pipelines/pipeline-source.ts'
import type { StableDiffusionPipeline } from '../pipelines/stable-diffusion-pipeline.ts'
import type { Model } from './engine.ts'

export interface Named {
  readonly name: string
  /** Empty where it is not known. */
  readonly hash: string
}

/** Of an open model, which its graphs tell. */
export function factsOf({ modelInfo, components, scheduler }: StableDiffusionPipeline, named: Named): Model {
  const { promptEncoder } = components
  const clipSkip = promptEncoder.layersFromEnd + 1
  const className = String(scheduler.config._class_name)
  return facts(named, modelInfo, className, clipSkip, clipSkip + promptEncoder.maxClipSkip())
}

/** Of one that is not open, which its configs tell. @throws EngineError 'model' */
export async function factsOfSource(source: PipelineSource, named: Named): Promise<Model> {
  const { family } = familyOf(source.index)
  const scheduler = (await source.config('scheduler'))?._class_name
  const layers = await Promise.all(
    (['text_encoder', 'text_encoder_2'] as const).map(async (part) => {
      const count = (await source.config(part))?.num_hidden_layers
      return typeof count === 'number' ? [count] : []
    }),
  )
  const clipSkip = family.layersFromEnd + 1
  const maxClipSkip = Math.max(clipSkip, layers.flat().length > 0 ? Math.min(...layers.flat()) : clipSkip)
  return facts(named, await describeSource(source), String(scheduler ?? ''), clipSkip, maxClipSkip)
}

function facts(
  { name, hash }: Named,
  info: ModelInfo,
  scheduler: string,
  clipSkip: number,
  maxClipSkip: number,
): Model {
  return {
    name,
    hash,
    family: info.family,
    scheduler,
    numInferenceSteps: info.numInferenceSteps,
    guidanceScale: info.guidanceScale,
    width: info.width,
    height: info.height,
    sizeMultiple: info.sizeMultiple,
    clipSkip,
    maxClipSkip,
    usesGuidance: info.usesNegativePrompt,
  }
}
