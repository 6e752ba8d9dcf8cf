/** The engine as the queue sees it: a child process that makes pictures; neither loading nor running blocks the caller. */

import type { Noise } from '../../job/request.ts'
import type { FamilyName } from '../families/family.ts'

/** What depends on the model and is read from its folder. */
export interface Model {
  /** The file's name without its ending, the folder's last part, or the hub id. */
  readonly name: string
  /** First ten hex digits of a SHA-256 over the weights; empty until it was read, which takes long for a large one. */
  readonly hash: string
  readonly family: FamilyName
  /** The scheduler's class name. */
  readonly scheduler: string
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  readonly width: number
  readonly height: number
  /** Width and height must be multiples of this. */
  readonly sizeMultiple: number
  /** The layer of the text encoder that it reads, counted from the last: 1, or with SDXL 2. */
  readonly clipSkip: number
  /** The earliest layer that can be asked for in its place, counted in the same way. */
  readonly maxClipSkip: number
  /** Whether guidance and a negative prompt have an effect (not for guidance-distilled models). */
  readonly usesGuidance: boolean
}

/** One job's work. Every image stands alone: it depends on its noise and these numbers, never on what runs beside it. */
export interface ImagesRequest {
  /** A name out of the catalog; the engine's own model where it is absent. */
  readonly model?: string
  readonly prompt: string
  readonly negativePrompt: string
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  /** As `Model.clipSkip`; the model's own where it is absent. */
  readonly clipSkip?: number
  readonly width: number
  readonly height: number
  readonly images: readonly Noise[]
  /** 1, 2 or 4. */
  readonly upscale: number
  /** Whether the ground is cleared away, where it is of one colour; never of a picture that is blurred. */
  readonly transparent: boolean
}

export interface EngineProgress {
  /** The model that is being opened for this, before the first step. */
  readonly opening?: string
  /** Over all images: `steps` is the number of model evaluations in all. */
  readonly step: number
  readonly steps: number
  /** What the images look like so far, n of them in ⌈√n⌉ columns, as a small PNG; sent at most twice a second. */
  readonly preview?: Uint8Array
}

export interface EngineImage {
  /** What drew it. */
  readonly model: Pick<Model, 'name' | 'hash'>
  /** Carries its parameters as text. */
  readonly png: Uint8Array
  readonly width: number
  readonly height: number
  readonly nsfw: boolean
}

export interface GenerateOptions {
  /** Checked between denoising steps; the promise rejects with its `reason`. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: EngineProgress) => void
}

/** An adapter or embedding that a prompt may name. */
export interface NamedWeights {
  readonly name: string
  /** Of the models that it was made for, where the file tells. */
  readonly family?: FamilyName
}

/** What can be asked for by name. */
export interface Catalog {
  /** The engine's own model first. */
  readonly models: readonly Model[]
  readonly loras: readonly NamedWeights[]
  readonly embeddings: readonly NamedWeights[]
}

/** What the queue needs of an engine. */
export interface Engine {
  /** What draws where no other is asked for. */
  readonly model: Model
  /** As it was last read: models may come and go in their folder. */
  readonly catalog: Catalog
  /** The models in memory, whose requests begin at once, the least recently used first. */
  readonly openModels: ReadonlySet<string>
  /** How long it took to open the last time; nothing where that is not known. */
  secondsToOpen(model: string): number | undefined
  /**
   * Makes the pictures, in order. Requests run one at a time, in the order in which they came.
   * @throws EngineError `crashed` when the process ended in the middle; the next call starts a new one.
   */
  generateImages(request: ImagesRequest, options?: GenerateOptions): Promise<EngineImage[]>
  /** Ends the process; unfinished requests reject. */
  stop(): Promise<void>
}
