/** What the bot's process and the engine's say to each other, over the channel that `child_process.fork` gives them. */

import type { EngineErrorCode } from '../errors.ts'
import type { EngineImage, EngineProgress, ImagesRequest, Model } from './engine.ts'

export interface LoadOptions {
  /** A folder, or a hub id. */
  readonly model: string
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
  | { readonly type: 'loaded'; readonly model: Model }
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
