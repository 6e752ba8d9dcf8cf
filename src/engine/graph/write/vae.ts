/** Writes the graphs of diffusers' AutoencoderKL: one that decodes, one that encodes. */

import type { Config } from '../../config-file.ts'
import type { Weights } from '../../weights/stored-tensor.ts'
import type { OnnxGraph } from '../onnx-file.ts'
import { ConfigReader } from './config.ts'
import { GraphBuilder, type WriteOptions } from './graph-builder.ts'
import { Layers } from './layers.ts'
import { resnet } from './resnet.ts'

/** diffusers' own for all norms of an autoencoder. */
const EPSILON = 1e-6

interface VaeConfig {
  readonly channels: readonly number[]
  readonly layersPerBlock: number
  readonly groups: number
  readonly midAttention: boolean
  readonly latentChannels: number
}

/**
 * Input: `latent_sample` [batch, latent channels, h, w], not scaled. Output: `sample` [batch, 3, H, W].
 * @param config `vae/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeVaeDecoder(config: Config, weights: Weights, options: WriteOptions = {}): OnnxGraph {
  const reader = new ConfigReader('VAE', config)
  const vae = readVae(reader, 'up_block_types', 'UpDecoderBlock2D')
  const { latentChannels } = vae
  const outChannels = reader.count('out_channels', 3)
  const channels = [...vae.channels].reverse()
  const deepest = channels[0]!

  const graph = new GraphBuilder('VAE', weights, options)
  const latents = graph.input('latent_sample', ['batch_size', latentChannels, 'latent_height', 'latent_width'])
  const layers = new Layers(graph, latents)
  const quant = { inputs: latentChannels, outputs: latentChannels, kernel: 1 }
  let x = reader.flag('use_post_quant_conv', true) ? layers.conv(latents, 'post_quant_conv', quant) : latents
  x = layers.conv(x, 'decoder.conv_in', { inputs: latentChannels, outputs: deepest })
  x = midBlock(layers, vae, x, 'decoder.mid_block', deepest)
  channels.forEach((outputs, block) => {
    const name = `decoder.up_blocks.${block}`
    const inputs = channels[block - 1] ?? outputs
    x = resnets(layers, vae, x, name, inputs, outputs, vae.layersPerBlock + 1)
    if (block < channels.length - 1)
      x = layers.conv(layers.upsample(x), `${name}.upsamplers.0.conv`, { inputs: outputs, outputs })
  })
  const sample = head(layers, vae, x, 'decoder', channels.at(-1)!, outChannels)
  graph.output('sample', sample, ['batch_size', outChannels, 'height', 'width'])
  return graph.finish()
}

/**
 * Input: `sample` [batch, 3, H, W] in -1..1. Output: `latent_parameters` [batch, 2 · latent channels, h, w], the means and
 * log-variances of the latents, not scaled.
 * @param config `vae/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeVaeEncoder(config: Config, weights: Weights, options: WriteOptions = {}): OnnxGraph {
  const reader = new ConfigReader('VAE', config)
  const vae = readVae(reader, 'down_block_types', 'DownEncoderBlock2D')
  const { channels } = vae
  const inChannels = reader.count('in_channels', 3)
  const parameters = 2 * vae.latentChannels
  const deepest = channels.at(-1)!

  const graph = new GraphBuilder('VAE', weights, options)
  const sample = graph.input('sample', ['batch_size', inChannels, 'height', 'width'])
  const layers = new Layers(graph, sample)
  let x = layers.conv(sample, 'encoder.conv_in', { inputs: inChannels, outputs: channels[0]! })
  channels.forEach((outputs, block) => {
    const name = `encoder.down_blocks.${block}`
    const inputs = channels[block - 1] ?? outputs
    x = resnets(layers, vae, x, name, inputs, outputs, vae.layersPerBlock)
    if (block === channels.length - 1) return
    // diffusers pads autoencoders at the right and the bottom alone.
    const down = { inputs: outputs, outputs, stride: 2, pads: [0, 0, 1, 1] } as const
    x = layers.conv(x, `${name}.downsamplers.0.conv`, down)
  })
  x = midBlock(layers, vae, x, 'encoder.mid_block', deepest)
  x = head(layers, vae, x, 'encoder', deepest, parameters)
  if (reader.flag('use_quant_conv', true))
    x = layers.conv(x, 'quant_conv', { inputs: parameters, outputs: parameters, kernel: 1 })
  graph.output('latent_parameters', x, ['batch_size', parameters, 'latent_height', 'latent_width'])
  return graph.finish()
}

function readVae(config: ConfigReader, typesKey: string, type: string): VaeConfig {
  config.require('act_fn', 'silu', 'swish')
  const channels = config.counts('block_out_channels', [64])
  config.names(typesKey, [type], channels.length, [type])
  return {
    channels,
    layersPerBlock: config.count('layers_per_block', 1),
    groups: config.count('norm_num_groups', 32),
    midAttention: config.flag('mid_block_add_attention', true),
    latentChannels: config.count('latent_channels', 4),
  }
}

function resnets(
  layers: Layers,
  { groups }: VaeConfig,
  x: string,
  name: string,
  inputs: number,
  outputs: number,
  count: number,
): string {
  let hidden = x
  for (let i = 0; i < count; i++) {
    const shape = { inputs: i === 0 ? inputs : outputs, outputs, groups, epsilon: EPSILON }
    hidden = resnet(layers, hidden, `${name}.resnets.${i}`, shape)
  }
  return hidden
}

function midBlock(layers: Layers, vae: VaeConfig, x: string, name: string, channels: number): string {
  const shape = { inputs: channels, outputs: channels, groups: vae.groups, epsilon: EPSILON }
  const first = resnet(layers, x, `${name}.resnets.0`, shape)
  const attended = vae.midAttention ? attention(layers, vae, first, `${name}.attentions.0`, channels) : first
  return resnet(layers, attended, `${name}.resnets.1`, shape)
}

/** Of one head as wide as all channels. */
function attention(layers: Layers, { groups }: VaeConfig, x: string, name: string, width: number): string {
  const normed = layers.groupNorm(x, `${name}.group_norm`, width, groups, EPSILON)
  const tokens = layers.flat(layers.pixelsToTokens(normed), width)
  const projected = (part: string) => layers.linear(tokens, `${name}.${part}`, width, width)
  const attended = layers.attention(projected('to_q'), projected('to_k'), projected('to_v'), { heads: 1, width })
  const out = layers.linear(attended, `${name}.to_out.0`, width, width)
  return layers.add(layers.tokensToPixels(layers.tokens(out, width), x), x)
}

function head(
  layers: Layers,
  { groups }: VaeConfig,
  x: string,
  name: string,
  channels: number,
  outputs: number,
): string {
  const normed = layers.groupNorm(x, `${name}.conv_norm_out`, channels, groups, EPSILON)
  return layers.conv(layers.silu(normed), `${name}.conv_out`, { inputs: channels, outputs })
}
