/** What a pipeline's parts are opened from, whatever form its files have: an ONNX export, PyTorch's folder, one checkpoint. */

import type { Config } from '../config-file.ts'
import type { Device } from '../devices/device.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import type { Dtype } from '../models/graph-choice.ts'
import type { CLIPTokenizer } from '../text/clip-tokenizer.ts'

/** A part that is one graph, by the name of its folder in an ONNX export. */
export type GraphPart = 'unet' | 'vae_decoder' | 'vae_encoder' | 'text_encoder' | 'text_encoder_2' | 'safety_checker'

/** Whose settings a pipeline reads. */
export type ConfigOwner =
  | 'unet'
  | 'vae'
  | 'text_encoder'
  | 'text_encoder_2'
  | 'scheduler'
  | 'feature_extractor'
  | 'generation'

export interface PipelineSource {
  /** As errors name it. */
  readonly path: string
  /** `model_index.json`, or what diffusers would have written there. */
  readonly index: Config
  /** Whether it has the part; SDXL's refiner names a text encoder and has none. */
  has(part: GraphPart): boolean
  /** Nothing where it says nothing of it. @throws EngineError 'model' for a damaged file */
  config(of: ConfigOwner): Promise<Config | undefined>
  /** @throws EngineError 'model' when it has no such part, or none of the wanted dtype. */
  graph(part: GraphPart, dtype: Dtype, device: Device): GraphSource
  /** @param textEncoder The config of the encoder that reads its tokens. @throws EngineError 'model' */
  tokenizer(name: 'tokenizer' | 'tokenizer_2', textEncoder: Config): Promise<CLIPTokenizer>
  /** The files of graphs and weights, in an order that stays the same: what tells one model from another. */
  weightFiles(): Promise<readonly string[]>
}
