/** How a model predicts, as far as its file says: the noise itself or the velocity. */

import type { Config } from '../config-file.ts'
import type { Prediction } from '../families/family.ts'
import type { ModelFile } from './model-file.ts'
import { readFloats } from './read-floats.ts'
import type { Weights } from './stored-tensor.ts'
import type { WeightFile } from './tensor-map.ts'

/** The step at which the training of Stable Diffusion 2 base, which predicts noise, was saved (diffusers' own sign of it). */
const SD2_BASE_STEP = '875000'

/** ComfyUI's sign of velocity: a bias of Stable Diffusion 2 spreads wider there (comfy/supported_models.py). */
const WIDEST_SPREAD_OF_NOISE = 0.09

/**
 * @param file With what lies beside it, where that says something.
 * @param unet The UNet's weights by diffusers' names.
 * @param config Its config as its shapes have it.
 */
export function predictionOf(
  { weights, metadata, originalConfig }: ModelFile,
  unet: Weights,
  config: Config,
): Prediction {
  const zeroSnr = weights.get('ztsnr') !== undefined
  if (weights.get('v_pred') || isVelocity(originalConfig)) return { type: 'v_prediction', zeroSnr }
  const type = saidType(metadata) ?? sd2Type(metadata, unet, config)
  return { type, zeroSnr }
}

/** CompVis' and Stability's training configs name it; AUTOMATIC1111 reads the one that has the model's name. */
function isVelocity(originalConfig: string | undefined): boolean {
  return originalConfig !== undefined && /^\s*parameterization:\s*["']?v["']?\s*$/m.test(originalConfig)
}

/** https://github.com/Stability-AI/ModelSpec, as kohya's scripts and others write it into safetensors. */
function saidType(metadata: WeightFile['metadata']): Prediction['type'] | undefined {
  const said = metadata.get('modelspec.prediction_type')
  if (said === 'v' || said === 'v_prediction') return 'v_prediction'
  if (said === 'epsilon') return 'epsilon'
  return metadata.get('modelspec.architecture')?.endsWith('-768-v') ? 'v_prediction' : undefined
}

function sd2Type(metadata: WeightFile['metadata'], unet: Weights, config: Config): Prediction['type'] {
  const isSD2 = config.use_linear_projection === true && config.addition_embed_type === null
  // Its inpainting model predicts noise.
  if (!isSD2 || config.in_channels !== 4 || metadata.get('global_step') === SD2_BASE_STEP) return 'epsilon'
  const bias = lastNormBias(unet)
  return bias && spread(bias) > WIDEST_SPREAD_OF_NOISE ? 'v_prediction' : 'epsilon'
}

/** Of the last transformer on the way up. */
function lastNormBias(unet: Weights): Float32Array | undefined {
  const pattern = /^up_blocks\.(\d+)\.attentions\.(\d+)\.transformer_blocks\.0\.norm1\.bias$/
  let last: { name: string; place: number } | undefined
  for (const name of unet.names()) {
    const [, block, attention] = pattern.exec(name) ?? []
    const place = Number(block) * 256 + Number(attention)
    if (place > (last?.place ?? -1)) last = { name, place }
  }
  const tensor = last && unet.get(last.name)
  return tensor && readFloats(tensor)
}

/** The standard deviation. */
function spread(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}
