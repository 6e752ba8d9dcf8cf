/** Where the denoising starts: noise, an image with noise, or an image with a mask, drawn in diffusers' order. */

import { EngineError } from '../errors.ts'
import { nearestIndices } from '../images/resample.ts'
import type { AutoencoderKL } from '../models/vae.ts'
import { Generator, type Generators } from '../random/generator.ts'
import { randnTensor } from '../random/randn-tensor.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import { concatRows, rowsOf, type Tensor } from '../tensor.ts'

/** How a sampling is tied to the image that it paints into. */
export type Inpainting =
  /** UNets of 4 channels: after each step, what the mask keeps is put back, as noisy as the step left the rest. */
  | { readonly mask: Tensor; readonly imageLatents: Tensor; readonly noise: Tensor }
  /** UNets of 9 channels see the mask and the masked image themselves. */
  | { readonly mask: Tensor; readonly maskedImageLatents: Tensor }

/** Text-to-image. `latents` replaces the draw; either is scaled to what the scheduler starts from. */
export function noiseLatents(
  dims: readonly number[],
  scheduler: Scheduler,
  generators: Generators | undefined,
  latents: Tensor | undefined,
): Tensor {
  return scaled(latents ?? randnTensor(dims, generators), scheduler.initNoiseSigma)
}

/** Image-to-image: the encoded image is drawn first, then the noise that hides it up to `timestep`. */
export async function imageLatents(
  images: Tensor,
  batch: number,
  vae: AutoencoderKL,
  scheduler: Scheduler,
  timestep: number,
  generators: Generators | undefined,
): Promise<Tensor> {
  const distribution = await vae.encode(images)
  const perRow = isList(generators) ? distribution.repeat(batch) : distribution
  const original = repeated(vae.scale(perRow.sample(generators), true), batch)
  return scheduler.addNoise(original, randnTensor(original.dims, generators), timestep)
}

export interface InpaintLatentsOptions {
  /** `[n, 3, h, w]` in -1..1. */
  readonly images: Tensor
  /** `[n, 1, h, w]` of 0 and 1. */
  readonly masks: Tensor
  readonly batch: number
  readonly timestep: number
  /** Strength 1: pure noise, nothing of the image. */
  readonly isStrengthMax: boolean
  /** Whether the UNet takes 9 channels. */
  readonly seesMask: boolean
  readonly generators: Generators | undefined
  readonly latents: Tensor | undefined
}

/** Inpainting: the image is drawn where it is needed, then the noise, then the masked image. */
export async function inpaintLatents(
  vae: AutoencoderKL,
  scheduler: Scheduler,
  options: InpaintLatentsOptions,
): Promise<{ latents: Tensor; inpainting: Inpainting }> {
  const { images, masks, batch, generators, isStrengthMax, seesMask } = options
  const [, , height = 0, width = 0] = images.dims
  const dims = [batch, vae.latentChannels, height / vae.scaleFactor, width / vae.scaleFactor]
  const mask = repeated(nearest(masks, dims[2]!, dims[3]!), batch)

  const needsImage = !seesMask || (options.latents === undefined && !isStrengthMax)
  const distribution = needsImage ? await vae.encode(images) : undefined
  const original = distribution && repeated(sampleLatents(vae, distribution, generators), batch)

  const noise = options.latents ?? randnTensor(dims, generators)
  const startsFromNoise = options.latents !== undefined || isStrengthMax
  const latents = startsFromNoise
    ? scaled(noise, scheduler.initNoiseSigma)
    : scheduler.addNoise(original!, noise, options.timestep)

  const maskedRows = Math.max(images.dims[0]!, masks.dims[0]!)
  if (!seesMask) {
    // The masked image is not needed here, but diffusers draws it, and stochastic schedulers go on from there.
    if (distribution!.isRandom) randnTensor([maskedRows, ...dims.slice(1)], firstOf(generators, maskedRows))
    return { latents, inpainting: { mask, imageLatents: original!, noise } }
  }
  const masked = await vae.encode(maskedImages(images, masks, maskedRows))
  const maskedImageLatents = repeated(sampleLatents(vae, masked, generators), batch)
  return { latents, inpainting: { mask, maskedImageLatents } }
}

type Distribution = Awaited<ReturnType<AutoencoderKL['encode']>>

function sampleLatents(vae: AutoencoderKL, distribution: Distribution, generators: Generators | undefined): Tensor {
  return vae.scale(distribution.sample(firstOf(generators, distribution.rows)), false)
}

function isList(generators: Generators | undefined): generators is readonly Generator[] {
  return generators !== undefined && !(generators instanceof Generator)
}

/** Of a list, as many as there are images: each draws for its own. */
function firstOf(generators: Generators | undefined, rows: number): Generators | undefined {
  return isList(generators) ? generators.slice(0, rows) : generators
}

/** @throws EngineError 'argument' unless the rows fit into the batch a whole number of times. */
function repeated(tensor: Tensor, batch: number): Tensor {
  const rows = rowsOf(tensor)
  if (rows.length === batch) return tensor
  if (batch % rows.length !== 0)
    throw new EngineError(
      'argument',
      `${rows.length} images cannot be shared out over ${batch}; give one image, or one for each prompt.`,
    )
  return concatRows(Array.from({ length: batch }, (_, row) => rows[row % rows.length]!))
}

/** Most schedulers start from unit noise: then it is the tensor itself. */
function scaled(tensor: Tensor, factor: number): Tensor {
  return factor === 1 ? tensor : { data: tensor.data.map((value) => value * factor), dims: tensor.dims }
}

function maskedImages(images: Tensor, masks: Tensor, rows: number): Tensor {
  const [image, mask] = [rowsOf(repeated(images, rows)), rowsOf(repeated(masks, rows))]
  return concatRows(
    image.map(({ data, dims }, row) => {
      const kept = mask[row]!.data
      return { data: data.map((value, i) => (kept[i % kept.length]! < 0.5 ? value : 0)), dims }
    }),
  )
}

function nearest({ data, dims }: Tensor, height: number, width: number): Tensor {
  const [rows = 0, channels = 0, inHeight = 0, inWidth = 0] = dims
  const [fromRows, fromColumns] = [nearestIndices(inHeight, height), nearestIndices(inWidth, width)]
  const out = new Float32Array(rows * channels * height * width)
  for (let plane = 0; plane < rows * channels; plane++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const from = fromRows[y]! * inWidth + fromColumns[x]!
        out[(plane * height + y) * width + x] = data[plane * inHeight * inWidth + from]!
      }
  return { data: out, dims: [rows, channels, height, width] }
}
