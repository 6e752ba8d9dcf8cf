/** A family of models: what is the same within one and differs between them. There is one file a family. */

import type { Config } from '../config-file.ts'

export type FamilyName = 'stable-diffusion' | 'stable-diffusion-xl' | 'latent-consistency'

export type Task = 'text-to-image' | 'image-to-image' | 'inpaint'

/** What diffusers' pipeline takes where a caller says nothing. */
export interface Defaults {
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  readonly strength: number
}

/** What one of diffusers' pipeline classes does in its own way. */
export interface PipelineClass {
  /** diffusers' name of it. */
  readonly className: string
  readonly defaults: Defaults
  /** Its constructor corrects an outdated scheduler config. */
  readonly mendsScheduler: boolean
  /** Its schedule is built for the strength; all others leave the first steps of theirs out. */
  readonly schedulesForStrength: boolean
  /** It decodes what the last step took for the finished latents, whatever a callback makes of them. */
  readonly decodesLastPrediction: boolean
  /** It takes both sides from the model unless both are given. */
  readonly takesBothSides: boolean
}

/** The same with a ControlNet, which diffusers has classes of their own for. */
export interface ControlNetPipelineClass extends PipelineClass {
  readonly controlnetConditioningScale: number
}

/** SDXL's "micro-conditioning" of a row, and of its row without the prompt. */
export interface TimeIds {
  readonly positive: readonly number[]
  readonly negative: readonly number[]
}

/** What the file of a model in the original layout says of how it predicts. */
export interface Prediction {
  readonly type: 'epsilon' | 'v_prediction'
  /** Trained with a last timestep of noise alone (`ztsnr`). */
  readonly zeroSnr: boolean
}

/** A text encoder that a model of the family has. */
export interface TextEncoderRole {
  readonly part: 'text_encoder' | 'text_encoder_2'
  readonly tokenizer: 'tokenizer' | 'tokenizer_2'
  /** Whose tower it is: OpenAI's, with quick_gelu, or open_clip's, with gelu. */
  readonly origin: 'openai' | 'open_clip'
  /** Of its hidden states, so that one without origin is known. */
  readonly width: number
  /** Its pooled state goes through a projection to the UNet. */
  readonly projects: boolean
  /** The tower's last layer is not used. */
  readonly cutsLastLayer: boolean
  /** What a prompt is filled up with. */
  readonly padToken: string
}

/**
 * What a file in the original layout leaves unsaid, as diffusers' published repositories have it.
 * `unet` is a UNet's config as its shapes have it.
 */
export interface SingleFile {
  readonly recognises: (unet: Config) => boolean
  /** For people: 'Stable Diffusion 2'. */
  readonly title: (unet: Config) => string
  /** What the UNet is for, where its channels do not say so. */
  readonly task?: (unet: Config) => Task | undefined
  /** `model_index.json` beside the class. */
  readonly index: (unet: Config) => Config
  readonly scheduler: (unet: Config, prediction: Prediction) => Config
  /** Of the UNet's config, what no shape tells: `sample_size` … */
  readonly unet: (unet: Config, prediction: Prediction) => Config
  readonly vae: Config
  readonly textEncoders: (unet: Config) => readonly TextEncoderRole[]
}

export interface Family {
  readonly name: FamilyName
  readonly pipelines: Readonly<Record<Task, PipelineClass>>
  readonly controlNetPipelines: Readonly<Record<Task, ControlNetPipelineClass>>
  /** Latents' side where `unet/config.json` names none. */
  readonly defaultSampleSize: number
  /** Layers of the text encoders that the model itself leaves out; 0 reads the last one's output, normalised. */
  readonly layersFromEnd: number
  /** The guidance scale is an input of the model, so there is no negative prompt. */
  readonly guidanceIsDistilled: boolean
  /** One negative prompt stands for a list of prompts; where it does not, diffusers wants a text for a text, a list for a list. */
  readonly spreadsNegativePrompt: boolean
  /** Its pipelines heed the `latents_mean` and `latents_std` of the VAE's config. */
  readonly heedsLatentsMean: boolean
  /** The VAE overflows in half precision and is kept in float32. */
  keepsVaeInFp32(vaeConfig: Config): boolean
  /** Zeros stand for an absent negative prompt, not the encoding of an empty one. @param index `model_index.json` */
  zerosForNoPrompt(index: Config): boolean
  /** Nothing where the UNet takes none. @param index `model_index.json` */
  timeIds?(index: Config, task: Task, height: number, width: number): TimeIds
  readonly singleFile: SingleFile
}
