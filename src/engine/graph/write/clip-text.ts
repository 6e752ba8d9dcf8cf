/** Writes the graphs of transformers' CLIPTextModel and CLIPTextModelWithProjection. */

import type { Config } from '../../config-file.ts'
import type { Weights } from '../../weights/stored-tensor.ts'
import { int } from '../attributes.ts'
import type { OnnxGraph } from '../onnx-file.ts'
import { DataType } from '../onnx-schema.ts'
import { clipLayer, readClipConfig } from './clip-layers.ts'
import { ConfigReader } from './config.ts'
import { GraphBuilder, type WriteOptions } from './graph-builder.ts'
import { Layers } from './layers.ts'

/** transformers' CLIPTextConfig. */
const DEFAULTS = { width: 512, intermediateWidth: 2048, layers: 12, heads: 8 }

/** Added to scores that must not count: softmax makes nothing of them, and half precision can hold it beside a score. */
const MASKED = -30000

/**
 * Input: `input_ids` [batch, tokens] of int64; where the configuration has `use_attention_mask`, also `attention_mask`.
 * Outputs: `last_hidden_state` [batch, tokens, width], `hidden_states.0 … n`, which are transformers', and of the first end
 * token `pooler_output` [batch, width], or with projection `text_embeds` [batch, projection].
 * The table of tokens is the initializer `text_model.embeddings.token_embedding.weight`.
 * @param config `text_encoder/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeClipTextModel(config: Config, weights: Weights, options: WriteOptions = {}): OnnxGraph {
  const reader = new ConfigReader('text encoder', config)
  const clip = readClipConfig(reader, DEFAULTS)
  const { width } = clip
  const graph = new GraphBuilder('text encoder', weights, options)
  const ids = graph.input('input_ids', ['batch_size', 'sequence_length'], DataType.INT64)
  const layers = new Layers(graph, ids)
  const mask = reader.flag('use_attention_mask', false)
    ? layers.add(causalMask(layers, ids), paddingMask(layers))
    : causalMask(layers, ids)

  let x = embeddings(layers, reader, ids, width)
  const hiddenShape = ['batch_size', 'sequence_length', width]
  graph.declareOutput(x, hiddenShape)
  for (let i = 0; i < clip.layers; i++) {
    x = clipLayer(layers, x, `text_model.encoder.layers.${i}`, clip, mask, `hidden_states.${i + 1}`)
    graph.declareOutput(x, hiddenShape)
  }
  const last = layers.layerNorm(x, 'text_model.final_layer_norm', width, clip.epsilon)
  graph.output('last_hidden_state', last, hiddenShape)
  const pooled = graph.op('GatherND', [last, endTokens(layers, ids, reader)], [int('batch_dims', 1)])
  if (!hasProjection(reader, weights)) graph.output('pooler_output', pooled, ['batch_size', width])
  else {
    const projected = reader.count('projection_dim', 512)
    const embeds = layers.linear(pooled, 'text_projection', width, projected, false)
    graph.output('text_embeds', embeds, ['batch_size', projected])
  }
  return graph.finish()
}

/** By the class that the configuration names; where it names none, by what is there. */
function hasProjection(config: ConfigReader, weights: Weights): boolean {
  const architectures = config.raw('architectures')
  return Array.isArray(architectures) && architectures.length > 0
    ? architectures.includes('CLIPTextModelWithProjection')
    : weights.get('text_projection.weight') !== undefined
}

/** What transformers calls `hidden_states.0`, [batch, tokens, width]. */
function embeddings(layers: Layers, config: ConfigReader, ids: string, width: number): string {
  const { graph } = layers
  const name = (part: string) => `text_model.embeddings.${part}_embedding.weight`
  const token = graph.embedding(name('token'), config.count('vocab_size', 49408), width, ids)
  const place = graph.embedding(
    name('position'),
    config.count('max_position_embeddings', 77),
    width,
    places(layers, ids),
  )
  return graph.op('Add', [token, place], [], { output: 'hidden_states.0' })
}

/** 0 … tokens − 1. */
function places(layers: Layers, ids: string): string {
  const { graph } = layers
  const length = graph.op('Squeeze', [graph.op('Shape', [ids], [int('start', 1), int('end', 2)])])
  return graph.op('Range', [graph.whole(0), length, graph.whole(1)])
}

/** Tokens see themselves and what is before them: [queries, keys]. */
function causalMask(layers: Layers, ids: string): string {
  const { graph } = layers
  const all = places(layers, ids)
  const hidden = graph.op('Greater', [all, graph.op('Unsqueeze', [all, graph.ints(1)])])
  return graph.op('Where', [hidden, graph.scalar(MASKED), graph.scalar(0)])
}

/** What `attention_mask` leaves out is seen by none: [batch, 1, 1, keys]. */
function paddingMask(layers: Layers): string {
  const { graph } = layers
  const kept = graph.input('attention_mask', ['batch_size', 'sequence_length'], DataType.INT64)
  const hidden = graph.op('Equal', [graph.op('Unsqueeze', [kept, graph.ints(1, 2)]), graph.whole(0)])
  return graph.op('Where', [hidden, graph.scalar(MASKED), graph.scalar(0)])
}

/**
 * The place of each row's first end token, [batch, 1]. transformers' rule: where the configuration says 2, as the first
 * ones did by mistake, it is the highest id.
 */
function endTokens(layers: Layers, ids: string, config: ConfigReader): string {
  const { graph } = layers
  const end = config.count('eos_token_id', 49407)
  const isEnd = end === 2 ? ids : graph.op('Equal', [ids, graph.whole(end)])
  return graph.op('ArgMax', [graph.cast(isEnd, DataType.INT32)], [int('axis', -1), int('keepdims', 1)])
}
