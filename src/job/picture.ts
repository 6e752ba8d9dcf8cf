/** One finished picture of a job; its PNG lies in the picture store under the job's id and this index. */

import type { Noise } from './request.ts'

export interface Picture extends Noise {
  /** Counts from 0. */
  readonly index: number
  readonly width: number
  readonly height: number
  /** Size of the PNG. */
  readonly bytes: number
  /** The model's safety checker flagged it, and it was blurred. */
  readonly nsfw: boolean
}
