/** diffusers' Transformer2DModel: attention among pixels, and from pixels to the text. */

import type { Layers } from './layers.ts'

export interface TransformerShape {
  readonly channels: number
  readonly heads: number
  /** How many BasicTransformerBlocks. */
  readonly layers: number
  readonly contextWidth: number
  readonly onlyCrossAttention: boolean
  readonly groups: number
  readonly linearProjection: boolean
  readonly upcastAttention: boolean
}

/** diffusers' own, whatever the configuration says of the resnets'. */
const [GROUP_EPSILON, LAYER_EPSILON] = [1e-6, 1e-5]

/**
 * @param x [batch, channels, height, width]
 * @param context [batch · tokens, contextWidth]
 */
export function transformer2D(
  layers: Layers,
  x: string,
  context: string,
  name: string,
  shape: TransformerShape,
): string {
  const { channels } = shape
  const normed = layers.groupNorm(x, `${name}.norm`, channels, shape.groups, GROUP_EPSILON)
  let tokens = shape.linearProjection
    ? linearTokens(layers, layers.pixelsToTokens(normed), `${name}.proj_in`, channels)
    : layers.pixelsToTokens(pointwise(layers, normed, `${name}.proj_in`, channels))
  for (let i = 0; i < shape.layers; i++)
    tokens = transformerBlock(layers, tokens, context, `${name}.transformer_blocks.${i}`, shape)
  const pixels = shape.linearProjection
    ? layers.tokensToPixels(linearTokens(layers, tokens, `${name}.proj_out`, channels), x)
    : pointwise(layers, layers.tokensToPixels(tokens, x), `${name}.proj_out`, channels)
  return layers.add(pixels, x)
}

/** @param tokens [batch, tokens, channels] */
function transformerBlock(
  layers: Layers,
  tokens: string,
  context: string,
  name: string,
  shape: TransformerShape,
): string {
  const { channels } = shape
  const norm = (x: string, part: string) =>
    layers.flat(layers.layerNorm(x, `${name}.${part}`, channels, LAYER_EPSILON), channels)
  const added = (x: string, flat: string) => layers.add(layers.tokens(flat, channels), x)
  const first = norm(tokens, 'norm1')
  const own = shape.onlyCrossAttention
    ? { value: context, width: shape.contextWidth }
    : { value: first, width: channels }
  const text = { value: context, width: shape.contextWidth }
  let x = added(tokens, attention(layers, first, own, `${name}.attn1`, shape))
  x = added(x, attention(layers, norm(x, 'norm2'), text, `${name}.attn2`, shape))
  return added(x, feedForward(layers, norm(x, 'norm3'), `${name}.ff`, channels))
}

function attention(
  layers: Layers,
  x: string,
  context: { value: string; width: number },
  name: string,
  { channels, heads, upcastAttention }: TransformerShape,
): string {
  const query = layers.linear(x, `${name}.to_q`, channels, channels, false)
  const key = layers.linear(context.value, `${name}.to_k`, context.width, channels, false)
  const value = layers.linear(context.value, `${name}.to_v`, context.width, channels, false)
  const attended = layers.attention(query, key, value, { heads, width: channels, upcast: upcastAttention })
  return layers.linear(attended, `${name}.to_out.0`, channels, channels)
}

/** GEGLU (arXiv:2002.05202): half of what it projects to says how much of the other half goes on. */
function feedForward(layers: Layers, x: string, name: string, width: number): string {
  const inner = 4 * width
  const [hidden, gate] = layers.graph.halves(layers.linear(x, `${name}.net.0.proj`, width, 2 * inner), inner)
  return layers.linear(layers.mul(hidden, layers.gelu(gate)), `${name}.net.2`, inner, width)
}

function linearTokens(layers: Layers, tokens: string, name: string, width: number): string {
  return layers.tokens(layers.linear(layers.flat(tokens, width), name, width, width), width)
}

function pointwise(layers: Layers, x: string, name: string, channels: number): string {
  return layers.conv(x, name, { inputs: channels, outputs: channels, kernel: 1 })
}
