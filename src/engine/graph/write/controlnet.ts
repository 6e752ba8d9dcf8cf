/** Writes the graph of diffusers' ControlNetModel. */

import type { Config } from '../../config-file.ts'
import type { Weights } from '../../weights/stored-tensor.ts'
import { int } from '../attributes.ts'
import type { OnnxGraph } from '../onnx-file.ts'
import { DataType } from '../onnx-schema.ts'
import { ConfigReader } from './config.ts'
import { GraphBuilder, type WriteOptions } from './graph-builder.ts'
import { Layers } from './layers.ts'
import { timeEmbedding } from './time-embedding.ts'
import { UNetBlocks } from './unet-blocks.ts'
import { readUNetConfig } from './unet-config.ts'

/**
 * Inputs: a UNet's, `controlnet_cond` [batch, 3, H, W] in 0..1, eight pixels a latent, and `conditioning_scale` [n + 2] of
 * float32: what each output is multiplied with, which says the same as diffusers' `conditioning_scale` and `guess_mode`.
 * Outputs: `down_block_res_samples.0 … n` and `mid_block_res_sample`, what a UNet written with `residuals` takes.
 * @param config `controlnet/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeControlNet(config: Config, weights: Weights, options: WriteOptions = {}): OnnxGraph {
  const reader = new ConfigReader('ControlNet', config)
  const unet = readUNetConfig(reader)
  const order = reader.require('controlnet_conditioning_channel_order', 'rgb', 'bgr')
  const isPooled = reader.flag('global_pool_conditions', false)
  const condChannels = reader.count('conditioning_channels', 3)
  const hintChannels = reader.counts('conditioning_embedding_out_channels', [16, 32, 96, 256])
  const { channels, contextWidth } = unet.levels[0]!

  const graph = new GraphBuilder('ControlNet', weights, options)
  const sample = graph.input('sample', ['batch_size', unet.inChannels, 'height', 'width'])
  const layers = new Layers(graph, sample)
  const time = timeEmbedding(layers, unet.time)
  const context = graph.input('encoder_hidden_states', ['batch_size', 'sequence_length', contextWidth])
  const cond = graph.input('controlnet_cond', ['batch_size', condChannels, 'cond_height', 'cond_width'])
  const rgb = order === 'rgb' ? cond : graph.op('Gather', [cond, graph.ints(2, 1, 0)], [int('axis', 1)])

  const blocks = new UNetBlocks(layers, unet, time, context)
  const begin = layers.add(
    layers.conv(sample, 'conv_in', { inputs: unet.inChannels, outputs: channels }),
    hint(layers, rgb, [condChannels, ...hintChannels, channels]),
  )
  const kept = blocks.down(begin)
  const middle = { value: blocks.mid(kept.at(-1)!.value), channels: kept.at(-1)!.channels }

  const scales = graph.input('conditioning_scale', [kept.length + 1], DataType.FLOAT)
  const give = (output: string, name: string, i: number, value: string, width: number) => {
    const zero = layers.conv(value, name, { inputs: width, outputs: width, kernel: 1 })
    const scaled = layers.mul(zero, scaleAt(graph, scales, i))
    const pooled = isPooled ? graph.op('GlobalAveragePool', [scaled]) : scaled
    graph.output(output, pooled, ['batch_size', width, `height_${i}`, `width_${i}`])
  }
  kept.forEach((skip, i) => {
    give(`down_block_res_samples.${i}`, `controlnet_down_blocks.${i}`, i, skip.value, skip.channels)
  })
  give('mid_block_res_sample', 'controlnet_mid_block', kept.length, middle.value, middle.channels)
  return graph.finish()
}

/** diffusers' ControlNetConditioningEmbedding. @param channels Of the picture, of each block, and of `conv_in`. */
function hint(layers: Layers, picture: string, channels: readonly number[]): string {
  const name = 'controlnet_cond_embedding'
  const [first, ...blocks] = channels.slice(1, -1) as [number, ...number[]]
  let x = layers.silu(layers.conv(picture, `${name}.conv_in`, { inputs: channels[0]!, outputs: first }))
  let inputs = first
  blocks.forEach((outputs, i) => {
    x = layers.silu(layers.conv(x, `${name}.blocks.${2 * i}`, { inputs, outputs: inputs }))
    x = layers.silu(layers.conv(x, `${name}.blocks.${2 * i + 1}`, { inputs, outputs, stride: 2 }))
    inputs = outputs
  })
  return layers.conv(x, `${name}.conv_out`, { inputs, outputs: channels.at(-1)! })
}

function scaleAt(graph: GraphBuilder, scales: string, i: number): string {
  const scale = graph.op('Gather', [scales, graph.whole(i)], [int('axis', 0)])
  return graph.type === DataType.FLOAT ? scale : graph.cast(scale, graph.type)
}
