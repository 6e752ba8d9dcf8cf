/** What the bot's process and the engine's say to each other, over the channel that `child_process.fork` gives them. */

import type { EngineErrorCode } from '../errors.ts'
import type { Catalog, EngineImage, EngineProgress, ImagesRequest } from './engine.ts'

export interface LoadOptions {
  /** A folder, a file, a hub id, or a name out of `modelsFolder`; where it is absent, that folder's first model. */
  readonly model?: string | undefined
  /** A folder of more models, LoRAs and embeddings, as `SEEDLING_MODELS` names it. */
  readonly modelsFolder?: string | undefined
  /** A VAE in place of the model's own, or for one that has none: a file or a folder. */
  readonly vae?: string | undefined
  /** Default 'auto'. */
  readonly dtype?: string | undefined
  /** Bytes that the open models' weights may take together; one is open at least. Default: half of the memory that is free. */
  readonly modelMemory?: number | undefined
  /** Default 'auto'. */
  readonly device?: string
  /** How many threads compute one operator. Default: one a core that it is given. */
  readonly threads?: number
  /** Where what is costly to compute from a model's files is kept; nothing is kept without it. */
  readonly cacheDir?: string
}

/** To the engine. `load` comes once, first; requests are answered one after another. */
export type Order =
  | { readonly type: 'load'; readonly options: LoadOptions }
  | { readonly type: 'generate'; readonly id: number; readonly request: ImagesRequest; readonly preview: boolean }
  | { readonly type: 'cancel'; readonly id: number }

/** From the engine. A request ends with `done`, `failed` or `cancelled`; whatever is said is a sign of life. */
export type Report =
  | { readonly type: 'loaded'; readonly catalog: Catalog }
  | { readonly type: 'catalog'; readonly catalog: Catalog }
  /** Every model that is open, after one was opened, or could not be, perhaps in another's place. */
  | { readonly type: 'open'; readonly models: readonly string[] }
  | { readonly type: 'opened'; readonly model: string; readonly seconds: number }
  | { readonly type: 'notLoaded'; readonly error: ReportedError }
  | { readonly type: 'notice'; readonly message: string }
  | { readonly type: 'loading' }
  | { readonly type: 'progress'; readonly id: number; readonly progress: EngineProgress }
  | { readonly type: 'done'; readonly id: number; readonly images: EngineImage[] }
  | { readonly type: 'cancelled'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly error: ReportedError }

/** An EngineError; errors lose their class and code on the way. */
export interface ReportedError {
  readonly code: EngineErrorCode
  readonly message: string
}
