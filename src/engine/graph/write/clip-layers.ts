/** The layers that CLIP's text and vision transformers share (transformers' CLIPEncoder). */

import type { ConfigReader } from './config.ts'
import type { Layers } from './layers.ts'

export interface ClipConfig {
  readonly width: number
  readonly intermediateWidth: number
  readonly layers: number
  readonly heads: number
  readonly epsilon: number
  readonly activation: 'quick_gelu' | 'gelu'
}

/**
 * @param defaults The class's, for what the configuration leaves out.
 * @throws EngineError 'model' where it asks for what Seedling cannot write.
 */
export function readClipConfig(
  config: ConfigReader,
  defaults: Pick<ClipConfig, 'width' | 'intermediateWidth' | 'layers' | 'heads'>,
): ClipConfig {
  const width = config.count('hidden_size', defaults.width)
  const heads = config.count('num_attention_heads', defaults.heads)
  if (width % heads !== 0) throw config.wrong('num_attention_heads', `a divisor of ${width}`)
  return {
    width,
    heads,
    intermediateWidth: config.count('intermediate_size', defaults.intermediateWidth),
    layers: config.count('num_hidden_layers', defaults.layers),
    epsilon: config.number('layer_norm_eps', 1e-5),
    activation: config.require('hidden_act', 'quick_gelu', 'gelu'),
  }
}

/**
 * One layer.
 * @param x [batch, tokens, width]
 * @param mask What is added to attention's scores.
 * @param output What its result is called.
 */
export function clipLayer(
  layers: Layers,
  x: string,
  name: string,
  config: ClipConfig,
  mask?: string,
  output?: string,
): string {
  const { width, heads, epsilon, intermediateWidth } = config
  const norm = (value: string, part: string) =>
    layers.flat(layers.layerNorm(value, `${name}.${part}`, width, epsilon), width)
  const normed = norm(x, 'layer_norm1')
  const projected = (part: string) => layers.linear(normed, `${name}.self_attn.${part}`, width, width)
  const shape = { heads, width, ...(mask !== undefined && { mask }) }
  const attended = layers.attention(projected('q_proj'), projected('k_proj'), projected('v_proj'), shape)
  const out = layers.linear(attended, `${name}.self_attn.out_proj`, width, width)
  const middle = layers.add(x, layers.tokens(out, width))
  const inner = layers.linear(norm(middle, 'layer_norm2'), `${name}.mlp.fc1`, width, intermediateWidth)
  const activated = config.activation === 'gelu' ? layers.gelu(inner) : layers.quickGelu(inner)
  const mlp = layers.linear(activated, `${name}.mlp.fc2`, intermediateWidth, width)
  return layers.graph.op('Add', [middle, layers.tokens(mlp, width)], [], output === undefined ? {} : { output })
}
