/** Writes the graph of diffusers' StableDiffusionSafetyChecker: CLIP's vision tower, and how near its answer is to concepts. */

import type { Config } from '../../config-file.ts'
import { EngineError } from '../../errors.ts'
import type { Weights } from '../../weights/stored-tensor.ts'
import { int, ints } from '../attributes.ts'
import type { OnnxGraph } from '../onnx-file.ts'
import { DataType } from '../onnx-schema.ts'
import { type ClipConfig, clipLayer, readClipConfig } from './clip-layers.ts'
import { ConfigReader } from './config.ts'
import { GraphBuilder } from './graph-builder.ts'
import { Layers } from './layers.ts'

/** transformers' CLIPVisionConfig. */
const DEFAULTS = { width: 768, intermediateWidth: 3072, layers: 12, heads: 12 }

/** diffusers rounds scores to three decimals, and a score above zero flags. */
const FLAGGED = 0.0005

/** What a picture near a special concept is nearer to all others. */
const ADJUSTMENT = 0.01

/** The checker is small beside the rest and decides by small differences: it is float32 everywhere. */
const FLOAT = DataType.FLOAT

/**
 * Inputs: `clip_input` [batch, 3, size, size], `images` [batch, height, width, 3]. Outputs: `out_images`, flagged ones black,
 * and `has_nsfw_concepts` [batch] of bool.
 * @param config `safety_checker/config.json`.
 * @throws EngineError 'model' where a weight is missing or of another shape, or the configuration asks for what is not known
 */
export function writeSafetyChecker(config: Config, weights: Weights): OnnxGraph {
  const reader = new ConfigReader('safety checker', config)
  const vision = new ConfigReader('safety checker', reader.section('vision_config'))
  const clip = readClipConfig(vision, DEFAULTS)
  const projected = reader.count('projection_dim', 512)
  const size = vision.count('image_size', 224)
  const channels = vision.count('num_channels', 3)

  const graph = new GraphBuilder('safety checker', weights, {})
  const pixels = graph.input('clip_input', ['batch_size', channels, size, size])
  const images = graph.input('images', ['batch_size', 'height', 'width', 'channels'])
  const layers = new Layers(graph, pixels)
  const pooled = visionTower(layers, pixels, clip, { size, channels, patch: vision.count('patch_size', 32) })
  const embeds = normalized(graph, layers.linear(pooled, 'visual_projection', clip.width, projected, false))

  const above = (part: string, adjustment?: string) => {
    const count = rows(weights, part)
    const concepts = normalized(graph, graph.weight(part, [count, projected]))
    const cosines = graph.op('MatMul', [embeds, graph.op('Transpose', [concepts], [ints('perm', [1, 0])])])
    const scores = graph.op('Sub', [cosines, graph.weight(`${part}_weights`, [count])])
    const adjusted = adjustment === undefined ? scores : layers.add(scores, adjustment)
    return graph.op('Greater', [graph.op('ReduceMax', [adjusted, graph.ints(1)]), graph.scalar(FLAGGED)])
  }
  const special = above('special_care_embeds')
  const adjustment = graph.op('Where', [special, graph.scalar(ADJUSTMENT), graph.scalar(0)])
  const flagged = above('concept_embeds', adjustment)
  const black = graph.op('Where', [graph.op('Unsqueeze', [flagged, graph.ints(2, 3)]), graph.scalar(0), images])
  graph.output('out_images', black, ['batch_size', 'height', 'width', 'channels'], FLOAT)
  const flags = graph.op('Squeeze', [flagged, graph.ints(1)])
  graph.output('has_nsfw_concepts', flags, ['batch_size'], DataType.BOOL)
  return graph.finish()
}

/** How many concepts there are, which no configuration says. */
function rows(weights: Weights, name: string): number {
  const count = weights.get(name)?.shape[0]
  if (count !== undefined) return count
  throw new EngineError('model', `The safety checker lacks "${name}"; download it again.`)
}

/** transformers' CLIPVisionTransformer. @returns [batch, width], of the class token */
function visionTower(
  layers: Layers,
  pixels: string,
  clip: ClipConfig,
  { size, channels, patch }: { size: number; channels: number; patch: number },
): string {
  const { graph } = layers
  const { width } = clip
  const name = 'vision_model.vision_model'
  const convolution = {
    inputs: channels,
    outputs: width,
    kernel: patch,
    stride: patch,
    pads: [0, 0, 0, 0],
    bias: false,
  } as const
  const patches = layers.pixelsToTokens(layers.conv(pixels, `${name}.embeddings.patch_embedding`, convolution))
  const shape = graph.op('Concat', [layers.batch, graph.ints(1, width)], [int('axis', 0)])
  const token = graph.op('Expand', [graph.weight(`${name}.embeddings.class_embedding`, [width]), shape])
  const places = graph.weight(`${name}.embeddings.position_embedding.weight`, [
    Math.floor(size / patch) ** 2 + 1,
    width,
  ])
  let x = layers.add(layers.join(token, patches), places)
  x = layers.layerNorm(x, `${name}.pre_layrnorm`, width, clip.epsilon)
  for (let i = 0; i < clip.layers; i++) x = clipLayer(layers, x, `${name}.encoder.layers.${i}`, clip)
  const first = graph.op('Gather', [x, graph.whole(0)], [int('axis', 1)])
  return layers.layerNorm(first, `${name}.post_layernorm`, width, clip.epsilon)
}

/** torch's `functional.normalize`: rows of length one. */
function normalized(graph: GraphBuilder, x: string): string {
  const length = graph.op('ReduceL2', [x, graph.ints(1)])
  return graph.op('Div', [x, graph.op('Max', [length, graph.scalar(1e-12)])])
}
