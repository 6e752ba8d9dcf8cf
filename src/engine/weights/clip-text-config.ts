/** The `config.json` of CLIP's text tower as its weights' shapes have it. */

import type { Config } from '../config-file.ts'
import { Shapes } from './shapes.ts'
import type { Weights } from './stored-tensor.ts'

/** Width of a head in every CLIP. */
const HEAD_WIDTH = 64

/**
 * @param weights By transformers' names.
 * @param activation What no shape tells: OpenAI's towers take quick_gelu, open_clip's gelu.
 * @param projects Whether the pooled state goes through the projection that the file may have.
 */
export function clipTextConfig(weights: Weights, activation: 'quick_gelu' | 'gelu', projects: boolean): Config {
  const shapes = new Shapes(weights)
  const [vocabulary = 0, width = 0] = shapes.shape('text_model.embeddings.token_embedding.weight') ?? []
  return {
    architectures: [projects ? 'CLIPTextModelWithProjection' : 'CLIPTextModel'],
    model_type: 'clip_text_model',
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: shapes.size('text_model.encoder.layers.0.mlp.fc1.weight', 0),
    num_hidden_layers: shapes.count('text_model.encoder.layers'),
    num_attention_heads: Math.max(1, Math.floor(width / HEAD_WIDTH)),
    max_position_embeddings: shapes.size('text_model.embeddings.position_embedding.weight', 0),
    projection_dim: projects ? shapes.size('text_projection.weight', 0) : width,
    hidden_act: activation,
    layer_norm_eps: 1e-5,
    // As in the published configs, where it makes transformers pool at the highest id.
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 1,
  }
}
