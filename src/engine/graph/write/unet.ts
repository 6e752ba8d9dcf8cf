/** Writes the graph of diffusers' UNet2DConditionModel. */

import type { Config } from '../../config-file.ts'
import type { Weights } from '../../weights/stored-tensor.ts'
import type { OnnxGraph } from '../onnx-file.ts'
import { ConfigReader } from './config.ts'
import { GraphBuilder, type WriteOptions } from './graph-builder.ts'
import { Layers } from './layers.ts'
import { timeEmbedding } from './time-embedding.ts'
import { type Skip, UNetBlocks } from './unet-blocks.ts'
import { readUNetConfig, type TransformerLayers, transformerLayers, type UNetConfig } from './unet-config.ts'

const UP_BLOCKS = ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'] as const

export interface UNetOptions extends WriteOptions {
  /** Takes a ControlNet's outputs: `down_block_additional_residuals.0 … n` and `mid_block_additional_residual`. */
  readonly residuals?: boolean
}

/**
 * Inputs: `sample` [batch, channels, h, w], `timestep` [batch] of float32, `encoder_hidden_states` [batch, tokens, width],
 * and where the model has them `timestep_cond` [batch, width], `text_embeds` [batch, width] and `time_ids` [batch, n] of
 * float32. Output: `out_sample` [batch, channels, h, w], any height and width.
 * @param config `unet/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeUNet(config: Config, weights: Weights, options: UNetOptions = {}): OnnxGraph {
  const reader = new ConfigReader('UNet', config)
  const unet = readUNetConfig(reader)
  const up = readUp(reader, unet)
  const outChannels = reader.count('out_channels', 4)
  const [inKernel, outKernel] = [reader.count('conv_in_kernel', 3), reader.count('conv_out_kernel', 3)]

  const graph = new GraphBuilder('UNet', weights, options)
  const sample = graph.input('sample', ['batch_size', unet.inChannels, 'height', 'width'])
  const layers = new Layers(graph, sample)
  const time = timeEmbedding(layers, unet.time)
  const { channels, contextWidth } = unet.levels[0]!
  const context = graph.input('encoder_hidden_states', ['batch_size', 'sequence_length', contextWidth])
  const blocks = new UNetBlocks(layers, unet, time, context)

  const convIn = { inputs: unet.inChannels, outputs: channels, kernel: inKernel }
  const kept = blocks.down(layers.conv(sample, 'conv_in', convIn))
  const middle = blocks.mid(kept.at(-1)!.value)
  const residuals = options.residuals === true ? addResiduals(layers, kept, middle) : { skips: kept, middle }
  const hidden = blocks.up(residuals.middle, residuals.skips, up)
  const activated = layers.silu(layers.groupNorm(hidden, 'conv_norm_out', channels, unet.groups, unet.epsilon))
  const convOut = { inputs: channels, outputs: outChannels, kernel: outKernel }
  graph.output('out_sample', layers.conv(activated, 'conv_out', convOut), [
    'batch_size',
    outChannels,
    'height',
    'width',
  ])
  return graph.finish()
}

function readUp(config: ConfigReader, { levels }: UNetConfig): TransformerLayers[] {
  const types = config.names('up_block_types', UP_BLOCKS, levels.length, ['UpBlock2D', 'CrossAttnUpBlock2D'])
  const reversed = config.raw('reverse_transformer_layers_per_block')
  const key = `${reversed === undefined ? '' : 'reverse_'}transformer_layers_per_block`
  const down = config.raw('transformer_layers_per_block') ?? 1
  const value = reversed ?? (Array.isArray(down) ? [...down].reverse() : down)
  return types.map((type, block) => {
    const resnets = levels[levels.length - 1 - block]!.resnets + 1
    return type === 'UpBlock2D' ? undefined : transformerLayers(config, key, value, block, resnets)
  })
}

function addResiduals(layers: Layers, skips: readonly Skip[], middle: string): { skips: Skip[]; middle: string } {
  const added = (value: string, name: string, channels: number, i: number | string) => {
    const residual = layers.graph.input(name, ['batch_size', channels, `height_${i}`, `width_${i}`])
    return layers.add(value, residual)
  }
  return {
    skips: skips.map(({ value, channels }, i) => ({
      value: added(value, `down_block_additional_residuals.${i}`, channels, i),
      channels,
    })),
    middle: added(middle, 'mid_block_additional_residual', skips.at(-1)!.channels, 'mid'),
  }
}
