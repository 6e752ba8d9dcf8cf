/** What a person asked for, complete: nothing is left to a default, so the same request makes the same pictures anywhere. */

/** A step from one noise towards another's: spherical interpolation by `strength`, 0..1, towards the noise of `seed`. */
export interface Variation {
  readonly seed: number
  readonly strength: number
}

/** The names are diffusers'. Seeds are whole numbers 0..2^32-1. */
export interface Request {
  /** The name of what draws it; absent in records from before there was a choice, and then the program's own. */
  readonly model?: string
  readonly prompt: string
  readonly negativePrompt: string
  readonly seed: number
  /** Applied in order to the seed's noise; a variation of a variation has two. Empty for a fresh picture. */
  readonly variations: readonly Variation[]
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  /**
   * Which layer of the text encoder is read, counted from the last as AUTOMATIC1111 does: 2 is what diffusers calls a
   * `clip_skip` of 1. Absent where it is the one that the model was made with.
   */
  readonly clipSkip?: number
  readonly width: number
  readonly height: number
  /** How many pictures, 1..4. */
  readonly numImagesPerPrompt: number
  /** How many times larger the finished picture is shown: 1, 2 or 4. */
  readonly upscale: number
  /** Whether the ground is cleared away, where it is of one colour. */
  readonly transparent: boolean
}

export const MAX_UPSCALE = 4

/** Whether its pictures can be shown larger still. */
export function mayEnlarge({ upscale }: Request): boolean {
  return upscale < MAX_UPSCALE
}

/** Where one picture's noise comes from. */
export interface Noise {
  readonly seed: number
  readonly variations: readonly Variation[]
}

/** One seed after another: the last number in the chain counts up, so that four variations share their parent's seed. */
export function noiseOf(request: Request, index: number): Noise {
  const last = request.variations.at(-1)
  if (!last) return { seed: nextSeed(request.seed, index), variations: [] }
  const moved = { ...last, seed: nextSeed(last.seed, index) }
  return { seed: request.seed, variations: [...request.variations.slice(0, -1), moved] }
}

/** The request that makes picture `index` of `request` alone. */
export function singlePicture(request: Request, index: number): Request {
  return { ...request, ...noiseOf(request, index), numImagesPerPrompt: 1 }
}

const SEEDS = 2 ** 32

function nextSeed(seed: number, by: number): number {
  return (seed + by) % SEEDS
}

/** A seed that nobody chose. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!
}
