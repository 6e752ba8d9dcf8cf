/** Names that diffusers and transformers gave up, as they are called now. */

import type { Weights } from './stored-tensor.ts'
import { renameWeights } from './tensor-map.ts'

/** Attention in VAEs until diffusers 0.17 (`_fix_state_dict_keys_on_load` in models/modeling_utils.py). */
const ATTENTION: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
}

/** Whatever the weights are called in the file, the names that are asked for are the current ones. */
export function withCurrentNames(weights: Weights): Weights {
  // A text encoder that was saved from inside its model.
  const isInner =
    weights.get('embeddings.token_embedding.weight') !== undefined &&
    weights.get('encoder.layers.0.layer_norm1.weight') !== undefined
  return renameWeights(weights, (name) =>
    isInner && !name.startsWith('text_projection.') ? `text_model.${name}` : currentAttention(name),
  )
}

function currentAttention(name: string): string {
  return name.replace(
    /(?<=(?:^|\.)attentions\.\d+\.)(query|key|value|proj_attn)(?=\.(?:weight|bias)$)/,
    (old) => ATTENTION[old]!,
  )
}
