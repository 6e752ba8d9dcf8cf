/** A model in PyTorch's weights, the same whether it is diffusers' folder or one file in the original layout. */

import type { Config } from '../config-file.ts'
import type { TokenizerSettings } from '../text/clip-tokenizer.ts'
import type { PartFilesOptions } from './part-files.ts'
import type { Weights } from './stored-tensor.ts'

export type CheckpointPart = 'unet' | 'vae' | 'text_encoder' | 'text_encoder_2' | 'safety_checker'

export interface PartWeights {
  /** `config.json`, or what it would say. */
  readonly config: Config
  /** By the names that diffusers and transformers give them, whatever the file calls them. */
  readonly weights: Weights
}

export interface Checkpoint {
  /** As the person gave it; for messages. */
  readonly path: string
  /** `model_index.json`, or what diffusers' `from_single_file` would have made of it. */
  readonly index: Config
  /** `scheduler_config.json`, or the family's own. */
  readonly scheduler: Config
  readonly parts: ReadonlyMap<CheckpointPart, PartWeights>
  /** A folder, or the settings of CLIP's own vocabulary, which comes with the program. */
  readonly tokenizers: ReadonlyMap<'tokenizer' | 'tokenizer_2', string | TokenizerSettings>
  /** `preprocessor_config.json` of the safety checker's pictures. */
  readonly featureExtractor?: Config
  /** `generation_config.json`. */
  readonly generation?: Config
}

export interface CheckpointOptions extends PartFilesOptions {
  /** A VAE to take in place of the model's own: a file, or a folder in diffusers' layout. */
  readonly vae?: string | undefined
  /** Text encoders to take in place of the model's own: files, or folders in diffusers' layout. */
  readonly textEncoder?: string | readonly string[] | undefined
}
