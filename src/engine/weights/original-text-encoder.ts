/** CLIP's text tower as single files hold it, under transformers' names: transformers' own layout, and open_clip's. */

import { highestNumber } from './shapes.ts'
import type { StoredTensor, Weights } from './stored-tensor.ts'
import { weightsOf } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'

const OPEN_CLIP: Readonly<Record<string, string>> = {
  'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
  positional_embedding: 'text_model.embeddings.position_embedding.weight',
  'ln_final.weight': 'text_model.final_layer_norm.weight',
  'ln_final.bias': 'text_model.final_layer_norm.bias',
  'text_projection.weight': 'text_projection.weight',
}

const OPEN_CLIP_LAYER: Readonly<Record<string, string>> = {
  ln_1: 'layer_norm1',
  ln_2: 'layer_norm2',
  'attn.out_proj': 'self_attn.out_proj',
  'mlp.c_fc': 'mlp.fc1',
  'mlp.c_proj': 'mlp.fc2',
}

/** The layers of open_clip's ViT-H, which Stable Diffusion 2 took for its text: the last one is not used. */
const VIT_H_LAYERS = 24

/** @param prefix Of the part's names in the file, such as `cond_stage_model.transformer.`; what follows may lack `text_model.`. */
export function clipTextModel(weights: Weights, prefix: string): Weights {
  const tensors = new Map<string, StoredTensor>()
  for (const name of weights.names()) {
    if (!name.startsWith(prefix)) continue
    const own = name.slice(prefix.length)
    const isInside = /^(embeddings|encoder|final_layer_norm)\./.test(own)
    // position_ids are counted, and logit_scale belongs to CLIP's training.
    const isKnown = isInside || /^text_model\.|^text_projection\./.test(own)
    if (isKnown && !own.endsWith('.position_ids')) tensors.set(isInside ? `text_model.${own}` : own, weights.get(name)!)
  }
  return weightsOf(tensors)
}

/** @param prefix Of the part's names in the file, such as `conditioner.embedders.1.model.`; q, k and v are thirds of one. */
export function openClipTextModel(weights: Weights, prefix: string): Weights {
  const tensors = new Map<string, StoredTensor>()
  for (const name of weights.names()) {
    if (!name.startsWith(prefix)) continue
    for (const [renamed, tensor] of openClipTensors(name.slice(prefix.length), weights.get(name)!))
      tensors.set(renamed, tensor)
  }
  return weightsOf(tensors)
}

/**
 * What Stable Diffusion 2 reads of ViT-H: the last layer and the projection are not used. Files that were made from
 * diffusers' have neither; which of the two a file is, the projection tells, or the number of layers.
 */
export function withoutLastLayer(weights: Weights): Weights {
  const layers = 1 + highestNumber(weights.names(), /^text_model\.encoder\.layers\.(\d+)\./)
  const isWhole = layers === VIT_H_LAYERS || weights.get('text_projection.weight') !== undefined
  const last = `text_model.encoder.layers.${layers - 1}.`
  return filterWeights(weights, (name) => !(isWhole && name.startsWith(last)))
}

/** The part without what the family does not use. */
export function withoutProjection(weights: Weights): Weights {
  return filterWeights(weights, (name) => !name.startsWith('text_projection.'))
}

function filterWeights(weights: Weights, isKept: (name: string) => boolean): Weights {
  return {
    get: (name) => (isKept(name) ? weights.get(name) : undefined),
    names: () => [...weights.names()].filter(isKept),
  }
}

/** One tensor of a file may be three: attention's query, key and value lie behind each other in one. */
function openClipTensors(name: string, tensor: StoredTensor): [string, StoredTensor][] {
  const fixed = OPEN_CLIP[name]
  if (fixed !== undefined) return [[fixed, tensor]]
  // A parameter that is multiplied from the right: [width, projection], where a linear's weight is [projection, width].
  if (name === 'text_projection')
    return [['text_projection.weight', { ...tensor, shape: [...tensor.shape].reverse(), transposed: true }]]
  const [, layer, module = '', leaf] = /^transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)$/.exec(name) ?? []
  const inLayer = `text_model.encoder.layers.${layer}.`
  if (module === 'attn.in_proj')
    return ['q', 'k', 'v'].map((of, i) => [`${inLayer}self_attn.${of}_proj.${leaf}`, third(name, tensor, i)])
  const renamed = OPEN_CLIP_LAYER[module]
  return renamed === undefined ? [] : [[`${inLayer}${renamed}.${leaf}`, tensor]]
}

function third(name: string, tensor: StoredTensor, index: number): StoredTensor {
  const [rows = 0, ...rest] = tensor.shape
  if (rows % 3 !== 0)
    throw weightError(
      tensor.path,
      `holds ${quoted(name)} with ${rows} rows, which are no three thirds; download it again.`,
    )
  const length = tensor.length / 3
  return { ...tensor, shape: [rows / 3, ...rest], offset: tensor.offset + index * length, length }
}
