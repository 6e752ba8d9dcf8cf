/** The safety checker that some models ship: which images show what the model's makers would not show. */

import type { Config } from '../config-file.ts'
import { toBitmaps } from '../images/image-processor.ts'
import { resize } from '../images/resample.ts'
import { rowsOf, type Tensor } from '../tensor.ts'
import type { OnnxRuntimeModel } from './onnx-runtime-model.ts'

/** CLIP's own, where `preprocessor_config.json` has none. */
const [CLIP_SIZE, CLIP_MEAN, CLIP_STD] = [
  224,
  [0.48145466, 0.4578275, 0.40821073],
  [0.26862954, 0.26130258, 0.27577711],
]

export class StableDiffusionSafetyChecker {
  readonly model: OnnxRuntimeModel
  readonly #size: number
  readonly #mean: readonly number[]
  readonly #std: readonly number[]

  /** @param config `feature_extractor/preprocessor_config.json`. */
  constructor(model: OnnxRuntimeModel, config: Config) {
    this.model = model
    this.#size = side(config.crop_size) ?? side(config.size) ?? CLIP_SIZE
    this.#mean = Array.isArray(config.image_mean) ? config.image_mean : CLIP_MEAN
    this.#std = Array.isArray(config.image_std) ? config.image_std : CLIP_STD
  }

  /**
   * One image after another: exports of diffusers' checker black flagged images out in a way that works for one alone.
   * @param images `[n, h, w, 3]` in 0..1.
   */
  async check(images: Tensor): Promise<boolean[]> {
    const flags: boolean[] = []
    for (const image of rowsOf(images)) {
      const feeds = { clip_input: this.#clipInput(image), images: image }
      const [flag] = await this.model.run(feeds, ['has_nsfw_concepts'])
      flags.push(flag!.data[0] !== 0)
    }
    return flags
  }

  /** transformers' `CLIPImageProcessor`: the shorter side to the model's size, the middle square, CLIP's mean and deviation. */
  #clipInput(images: Tensor): Tensor {
    const size = this.#size
    const bitmaps = toBitmaps(images)
    const data = new Float32Array(bitmaps.length * 3 * size * size)
    bitmaps.forEach((bitmap, n) => {
      const short = Math.min(bitmap.width, bitmap.height)
      const [width, height] = [bitmap.width, bitmap.height].map((s) => Math.trunc((size * s) / short)) as [
        number,
        number,
      ]
      const small = resize(bitmap, width, height, 'bicubic')
      const [left, top] = [Math.floor((width - size) / 2), Math.floor((height - size) / 2)]
      for (let channel = 0; channel < 3; channel++)
        for (let y = 0; y < size; y++)
          for (let x = 0; x < size; x++) {
            const pixel = small.data[((top + y) * width + left + x) * 3 + channel]! / 255
            data[((n * 3 + channel) * size + y) * size + x] = (pixel - this.#mean[channel]!) / this.#std[channel]!
          }
    })
    return { data, dims: [bitmaps.length, 3, size, size] }
  }
}

function side(size: unknown): number | undefined {
  if (typeof size === 'number') return size
  const { shortest_edge, height } = (size ?? {}) as { shortest_edge?: unknown; height?: unknown }
  return [shortest_edge, height].find((value) => typeof value === 'number')
}
