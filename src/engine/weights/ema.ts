/** Averaged weights (`model_ema.`): training's checkpoints hold them beside the plain ones, under names without their dots. */

import type { Weights } from './stored-tensor.ts'
import { renameWeights } from './tensor-map.ts'

const PLAIN = 'model.diffusion_model.'
const AVERAGED = 'model_ema.diffusion_model'

/** What a UNet's modules are called, longer names before those that they begin with. */
const WORDS =
  /(?:in|out)put_blocks|middle_block|time_embed|cond_proj|label_emb|(?:in|out|emb)_layers|skip_connection|transformer_blocks|proj_(?:in|out)|to_(?:out|q|k|v)|attn[12]|norm[123]?|ff|net|proj|op|conv|out|weight|bias|\d+/g

/** A file of averaged weights alone, with its names as the plain ones would be; any other file as it is. */
export function withEmaNames(weights: Weights): Weights {
  for (const name of weights.names()) if (name.startsWith(PLAIN)) return weights
  return renameWeights(weights, (name) =>
    name.startsWith(AVERAGED) ? PLAIN + dotted(name.slice(AVERAGED.length)) : name,
  )
}

function dotted(name: string): string {
  const words = name.match(WORDS) ?? []
  return words.map((word, i) => (isPair(words[i - 1]) ? word.replace(/\d$/, '.$&') : word)).join('.')
}

/** Two numbers follow these, of which the second has one digit. */
function isPair(word: string | undefined): boolean {
  return word === 'input_blocks' || word === 'output_blocks' || word === 'label_emb'
}
