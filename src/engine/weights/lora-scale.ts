/** How strong a LoRA was trained to be: alpha over the rank, said by the file in one of two ways. */

import type { StoredPair } from './lora-file.ts'
import type { LoraPart } from './lora-names.ts'
import { readFloats } from './read-floats.ts'
import type { WeightFile } from './tensor-map.ts'
import { weightError } from './weight-error.ts'

/** What a branch's product is multiplied with. */
export type ScaleOf = (part: LoraPart, module: string, pair: StoredPair) => number

/**
 * A number beside each pair, as kohya's trainer writes it, else diffusers' `lora_adapter_metadata`, which is peft's
 * LoraConfig by part. Where a file says neither, alpha is the rank.
 * @throws EngineError 'model' where the metadata cannot be read.
 */
export function loraScales({ metadata }: WeightFile, path: string): ScaleOf {
  const config = adapterConfig(metadata.get('lora_adapter_metadata'), path)
  return (part, module, { down, alpha }) => {
    const rank = down.shape[0]!
    if (alpha) return finite((readFloats(alpha)?.[0] ?? Number.NaN) / rank, path)
    const usual = config[`${part}.lora_alpha`]
    const own = patternFor(config[`${part}.alpha_pattern`], module) ?? usual
    if (own === undefined) return 1
    return finite(Number(own) / (config[`${part}.use_rslora`] === true ? Math.sqrt(rank) : rank), path)
  }
}

function adapterConfig(json: string | undefined, path: string): Readonly<Record<string, unknown>> {
  if (json === undefined) return {}
  try {
    const config: unknown = JSON.parse(json)
    if (typeof config === 'object' && config !== null) return config as Readonly<Record<string, unknown>>
  } catch {
    // Said below.
  }
  throw weightError(path, `is damaged: its lora_adapter_metadata is no JSON object; download it again.`)
}

/** peft matches the end of a module's name. */
function patternFor(patterns: unknown, module: string): unknown {
  if (typeof patterns !== 'object' || patterns === null) return undefined
  const found = Object.entries(patterns).find(([pattern]) => {
    const name = pattern.replace(/^\^/, '')
    return module === name || module.endsWith(`.${name}`)
  })
  return found?.[1]
}

function finite(scale: number, path: string): number {
  if (Number.isFinite(scale)) return scale
  throw weightError(path, `is damaged: an alpha in it is no number; download it again.`)
}
