/** Which of the text encoders that were found is which of a model's. */

import type { TextEncoderRole } from '../families/family.ts'
import type { TokenizerSettings } from '../text/clip-tokenizer.ts'
import type { PartWeights } from './checkpoint.ts'
import { clipTextConfig } from './clip-text-config.ts'
import type { TextEncoderFile } from './companions.ts'
import { withoutLastLayer, withoutProjection } from './original-text-encoder.ts'
import type { Weights } from './stored-tensor.ts'

/** @param found What was given before what the model's own file has. @returns Nothing where none of them fits. */
export function textEncoderFor(role: TextEncoderRole, found: readonly TextEncoderFile[]): PartWeights | undefined {
  const encoder = found.find(
    ({ origin, weights }) => (origin ?? role.origin) === role.origin && widthOf(weights) === role.width,
  )
  if (!encoder) return undefined
  const { weights, config } = encoder
  if (config) return { weights, config }
  const used = role.cutsLastLayer ? withoutLastLayer(weights) : weights
  const read = role.projects ? used : withoutProjection(used)
  return {
    weights: read,
    config: clipTextConfig(read, role.origin === 'openai' ? 'quick_gelu' : 'gelu', role.projects),
  }
}

export function tokenizerSettings({ padToken }: TextEncoderRole): TokenizerSettings {
  return {
    bos_token: '<|startoftext|>',
    eos_token: '<|endoftext|>',
    pad_token: padToken,
    model_max_length: 77,
  }
}

/** Of its hidden states. */
export function widthOf(weights: Weights): number {
  return weights.get('text_model.embeddings.token_embedding.weight')?.shape[1] ?? 0
}
