/** The autoencoder between pixels and latents: encode, decode, its scale, slicing and tiling. */

import type { Config } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import type { Generators } from '../random/generator.ts'
import { randnTensor } from '../random/randn-tensor.ts'
import { concatRows, rowsOf, type Tensor } from '../tensor.ts'
import type { OnnxRuntimeModel } from './onnx-runtime-model.ts'
import { inTiles } from './tiling.ts'
import { scaleOf } from './unet.ts'

/** Bounds of the log-variance (diffusers' `DiagonalGaussianDistribution`). */
const [LOWEST_LOGVAR, HIGHEST_LOGVAR] = [-30, 20]

export class AutoencoderKL {
  readonly decoder: OnnxRuntimeModel
  /** Absent in exports for text-to-image alone; opened when an image is first encoded. */
  readonly encoder: OnnxRuntimeModel | undefined
  /** Pixels a latent: 8 in all Stable Diffusions. */
  readonly scaleFactor: number
  readonly latentChannels: number
  /** What encoded latents are multiplied with before the UNet sees them. */
  readonly scalingFactor: number
  useSlicing = false
  useTiling = false
  readonly #mean: readonly number[] | undefined
  readonly #std: readonly number[] | undefined
  readonly #tileSampleSize: number

  constructor(decoder: OnnxRuntimeModel, encoder: OnnxRuntimeModel | undefined, config: Config) {
    this.decoder = decoder
    this.encoder = encoder
    this.scaleFactor = scaleOf(config)
    this.latentChannels = numberOr(decoder.inputs.values().next().value?.shape[1], numberOr(config.latent_channels, 4))
    this.scalingFactor = numberOr(config.scaling_factor, 0.18215)
    const normalised = Array.isArray(config.latents_mean) && Array.isArray(config.latents_std)
    this.#mean = normalised ? (config.latents_mean as number[]) : undefined
    this.#std = normalised ? (config.latents_std as number[]) : undefined
    this.#tileSampleSize = numberOr(config.sample_size, 512)
  }

  /** From the UNet's latents to pixels: `[n, latentChannels, h, w]` to `[n, 3, H, W]` in about -1..1. */
  async decode(latents: Tensor): Promise<Tensor> {
    const unscaled = this.#unscale(latents)
    return this.#perSlice(unscaled, (slice) => this.#decode(slice))
  }

  /**
   * From pixels, `[n, 3, H, W]` in -1..1, to the distribution of their latents.
   * @throws EngineError 'model' when the pipeline has no encoder.
   */
  async encode(images: Tensor): Promise<LatentDistribution> {
    return new LatentDistribution(await this.#perSlice(images, (slice) => this.#encode(slice)), this.latentChannels)
  }

  /** Encoded latents at the UNet's scale; `normalise` applies a model's own mean and deviation where it has them. */
  scale({ data, dims }: Tensor, normalise: boolean): Tensor {
    const [mean, std] = normalise ? [this.#mean, this.#std] : []
    const out = new Float32Array(data.length)
    if (!mean || !std) {
      for (let i = 0; i < data.length; i++) out[i] = this.scalingFactor * data[i]!
      return { data: out, dims }
    }
    const plane = dims[2]! * dims[3]!
    for (let i = 0; i < data.length; i++) {
      const channel = Math.floor(i / plane) % this.latentChannels
      out[i] = ((data[i]! - mean[channel]!) * this.scalingFactor) / std[channel]!
    }
    return { data: out, dims }
  }

  #unscale({ data, dims }: Tensor): Tensor {
    const out = new Float32Array(data.length)
    if (!this.#mean || !this.#std) {
      for (let i = 0; i < data.length; i++) out[i] = data[i]! / this.scalingFactor
      return { data: out, dims }
    }
    const plane = dims[2]! * dims[3]!
    for (let i = 0; i < data.length; i++) {
      const channel = Math.floor(i / plane) % this.latentChannels
      out[i] = (data[i]! * this.#std[channel]!) / this.scalingFactor + this.#mean[channel]!
    }
    return { data: out, dims }
  }

  async #perSlice(input: Tensor, run: (slice: Tensor) => Promise<Tensor>): Promise<Tensor> {
    if (!this.useSlicing || input.dims[0] === 1) return run(input)
    const outputs: Tensor[] = []
    for (const slice of rowsOf(input)) outputs.push(await run(slice))
    return concatRows(outputs)
  }

  #decode(latents: Tensor): Promise<Tensor> {
    const tile = Math.trunc(this.#tileSampleSize / this.scaleFactor)
    const run = (part: Tensor) => runWhole(this.decoder, part)
    return this.#isLarger(latents, tile) ? inTiles(latents, tile, this.#tileSampleSize, run) : run(latents)
  }

  #encode(images: Tensor): Promise<Tensor> {
    const { encoder } = this
    if (!encoder)
      throw new EngineError(
        'model',
        'This model has no vae_encoder, so it cannot start from an image; use an export that has one.',
      )
    const tile = this.#tileSampleSize
    const run = (part: Tensor) => runWhole(encoder, part)
    return this.#isLarger(images, tile) ? inTiles(images, tile, Math.trunc(tile / this.scaleFactor), run) : run(images)
  }

  #isLarger({ dims }: Tensor, tile: number): boolean {
    return this.useTiling && (dims[2]! > tile || dims[3]! > tile)
  }
}

/** What the encoder gives: mean and log-variance to draw from, or, in some exports, latents already drawn. */
export class LatentDistribution {
  readonly #encoded: Tensor
  readonly #latentChannels: number

  constructor(encoded: Tensor, latentChannels: number) {
    this.#encoded = encoded
    this.#latentChannels = latentChannels
  }

  /** How many images were encoded. */
  get rows(): number {
    return this.#encoded.dims[0]!
  }

  /** Whether `sample` draws noise. */
  get isRandom(): boolean {
    return this.#encoded.dims[1] === 2 * this.#latentChannels
  }

  /** The same distribution for `rows` images, those given repeated in order. */
  repeat(rows: number): LatentDistribution {
    const own = rowsOf(this.#encoded)
    const repeated = Array.from({ length: rows }, (_, row) => own[row % own.length]!)
    return new LatentDistribution(concatRows(repeated), this.#latentChannels)
  }

  /** mean + deviation × noise, drawn as diffusers draws it. */
  sample(generators?: Generators): Tensor {
    if (!this.isRandom) return this.#encoded
    const [rows = 0, channels = 0, height = 0, width = 0] = this.#encoded.dims
    const size = (channels / 2) * height * width
    const { data: noise, dims } = randnTensor([rows, channels / 2, height, width], generators)
    const out = new Float32Array(rows * size)
    for (let row = 0; row < rows; row++) {
      const mean = row * 2 * size
      for (let i = 0; i < size; i++) {
        const logvar = Math.min(Math.max(this.#encoded.data[mean + size + i]!, LOWEST_LOGVAR), HIGHEST_LOGVAR)
        out[row * size + i] = this.#encoded.data[mean + i]! + Math.exp(0.5 * logvar) * noise[row * size + i]!
      }
    }
    return { data: out, dims }
  }
}

async function runWhole(model: OnnxRuntimeModel, input: Tensor): Promise<Tensor> {
  // The encoder is first needed here.
  await model.open()
  const [name] = model.inputs.keys()
  const output = preferred(model, ['sample', 'latent_parameters', 'latent_sample'])
  const [result] = await model.run({ [name!]: input }, [output])
  return result!
}

function preferred(model: OnnxRuntimeModel, names: readonly string[]): string {
  return names.find((name) => model.outputs.has(name)) ?? [...model.outputs.keys()][0]!
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' && value > 0 ? value : fallback
}
