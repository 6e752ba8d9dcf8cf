/** Images in and out of a pipeline, as diffusers' `VaeImageProcessor` (`image_processor.py`) turns pixels into numbers and back. */

import sharp, { type Sharp } from 'sharp'
import { EngineError } from '../errors.ts'
import { allFinite, type Tensor } from '../tensor.ts'
import { encodePng } from './png.ts'
import { type Bitmap, nearestIndices, resize } from './resample.ts'

/**
 * Pixels as they are: 8 bits a channel, or floats in 0..1; the shape as sharp's `info` or as `dims`, `[h, w, c]` or, for
 * `n` images, `[n, h, w, c]`.
 */
export type RawImage =
  | { readonly data: Pixels; readonly width: number; readonly height: number; readonly channels?: number }
  | { readonly data: Pixels; readonly info: { width: number; height: number; channels: number } }
  | { readonly data: Pixels; readonly dims: readonly number[] }

type Pixels = Uint8Array | Uint8ClampedArray | Float32Array

/** A path, a file's bytes in any format that sharp reads, or raw pixels. */
export type ImageInput = string | Uint8Array | RawImage

/** Floats in 0..1 of 1 or 3 channels: as numpy arrays in diffusers, never rounded, and resized to the nearest pixel. */
interface FloatImage {
  readonly data: Float32Array
  readonly width: number
  readonly height: number
  readonly channels: number
}

export type LoadedImage = Bitmap | FloatImage

/** A file of a few kilobytes can hold any number of pixels; this many are 400 MB. */
const MOST_PIXELS = 2 ** 27

/** `[n, h, w, 3]` in 0..1. */
export type NumpyImages = Tensor

/**
 * Reads images as RGB, turned as their EXIF says, transparency dropped.
 * @throws EngineError 'argument' for what is no image.
 */
export async function loadImages(
  input: ImageInput | readonly (ImageInput | readonly ImageInput[])[],
  name: string,
): Promise<LoadedImage[]> {
  const inputs = Array.isArray(input) ? (input as readonly ImageInput[]) : [input as ImageInput]
  if (inputs.some((one) => Array.isArray(one)))
    throw new EngineError('argument', `\`${name}\` is a list of lists; give an image, or a list of images.`)
  if (inputs.length === 0) throw new EngineError('argument', `\`${name}\` is an empty list; give at least one image.`)
  return Promise.all(inputs.flatMap(oneByOne).map((one) => loadImage(one, name)))
}

function oneByOne(input: ImageInput): ImageInput[] {
  if (typeof input === 'string' || !('dims' in input) || input.dims.length !== 4) return [input]
  const [count = 0, ...dims] = input.dims
  const size = dims.reduce((product, dim) => product * dim, 1)
  if (count * size !== input.data.length) return [input]
  return Array.from({ length: count }, (_, i) => ({ data: input.data.subarray(i * size, (i + 1) * size), dims }))
}

async function loadImage(input: ImageInput, name: string): Promise<LoadedImage> {
  try {
    if (typeof input === 'string' || input instanceof Uint8Array)
      return await decode(sharp(input, { limitInputPixels: MOST_PIXELS }))
    const { width, height, channels } = shapeOf(input)
    if (input.data.length !== width * height * channels) throw new Error('the data do not fill its width and height')
    if (input.data instanceof Float32Array && !allFinite(input.data)) throw new Error('it holds NaN or infinity')
    if (input.data instanceof Float32Array && (channels === 1 || channels === 3))
      return { data: input.data, width, height, channels }
    const data = input.data instanceof Float32Array ? eightBit(input.data) : input.data
    if (channels === 3) return { data, width, height, channels }
    return await decode(sharp(data, { raw: { width, height, channels: channels as 1 | 2 | 4 } }))
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new EngineError(
      'argument',
      `\`${name}\` cannot be read (${why}); give a PNG, JPEG or WebP, its path, or raw pixels with their width and height.`,
      { cause: error },
    )
  }
}

async function decode(image: Sharp): Promise<Bitmap> {
  const { data, info } = await image
    .autoOrient()
    .removeAlpha()
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height, channels: info.channels }
}

function shapeOf(input: RawImage): { width: number; height: number; channels: number } {
  if ('info' in input) return input.info
  if ('width' in input)
    return {
      width: input.width,
      height: input.height,
      channels: input.channels ?? input.data.length / (input.width * input.height),
    }
  const [height = 0, width = 0, channels = 1] = input.dims.length === 4 ? input.dims.slice(1) : input.dims
  return { width, height, channels }
}

/** `[n, 3, height, width]` in -1..1. */
export function preprocessImages(images: readonly LoadedImage[], height: number, width: number): Tensor {
  const { data, dims } = preprocessControlImages(images, height, width)
  for (let i = 0; i < data.length; i++) data[i] = 2 * data[i]! - 1
  return { data, dims }
}

/** What ControlNets see: `[n, 3, height, width]` in 0..1. */
export function preprocessControlImages(images: readonly LoadedImage[], height: number, width: number): Tensor {
  const plane = height * width
  const data = new Float32Array(images.length * 3 * plane)
  images.forEach((image, n) => {
    const { pixels, channels, white } = sized(image, height, width)
    for (let i = 0; i < plane; i++)
      for (let channel = 0; channel < 3; channel++)
        data[(n * 3 + channel) * plane + i] = pixels[i * channels + (channel % channels)]! / white
  })
  return { data, dims: [images.length, 3, height, width] }
}

/** `[n, 1, height, width]` of 0 (keep) and 1 (paint anew): luminance, cut at the middle. */
export function preprocessMasks(masks: readonly LoadedImage[], height: number, width: number): Tensor {
  const plane = height * width
  const data = new Float32Array(masks.length * plane)
  masks.forEach((mask, n) => {
    const { pixels, channels, white } = sized(mask, height, width)
    for (let i = 0; i < plane; i++) {
      const at = i * channels
      const value = channels === 1 ? pixels[at]! : luminance(pixels[at]!, pixels[at + 1]!, pixels[at + 2]!, white)
      data[n * plane + i] = value / white < 0.5 ? 0 : 1
    }
  })
  return { data, dims: [masks.length, 1, height, width] }
}

function sized(image: LoadedImage, height: number, width: number) {
  const { data, channels } = image
  if (!(data instanceof Float32Array))
    return { pixels: resize({ ...image, data }, width, height, 'lanczos').data, channels, white: 255 }
  return { pixels: nearest({ ...image, data }, height, width), channels, white: 1 }
}

function nearest(image: FloatImage, height: number, width: number): Float32Array {
  const { data, channels } = image
  if (height === image.height && width === image.width) return data
  const [rows, columns] = [nearestIndices(image.height, height), nearestIndices(image.width, width)]
  const out = new Float32Array(height * width * channels)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const from = (rows[y]! * image.width + columns[x]!) * channels
      for (let channel = 0; channel < channels; channel++)
        out[(y * width + x) * channels + channel] = data[from + channel]!
    }
  return out
}

/** ITU-R 601, of bytes in Pillow's fixed point. */
function luminance(r: number, g: number, b: number, white: number): number {
  const sum = r * 19595 + g * 38470 + b * 7471
  return white === 255 ? (sum + 0x8000) >> 16 : sum / 0x10000
}

/** From the VAE's `[n, 3, h, w]` in -1..1 to `[n, h, w, 3]` in 0..1. */
export function postprocess({ data, dims }: Tensor): NumpyImages {
  const [n = 0, , height = 0, width = 0] = dims
  const plane = height * width
  const out = new Float32Array(data.length)
  let at = 0
  for (let image = 0; image < n; image++)
    for (let r = image * 3 * plane, end = r + plane; r < end; r++) {
      out[at++] = unit(data[r]!)
      out[at++] = unit(data[r + plane]!)
      out[at++] = unit(data[r + 2 * plane]!)
    }
  return { data: out, dims: [n, height, width, 3] }
}

/** Cut to -1..1 as (|v + 1| - |v - 1|) / 2, which has no branch that a bright or dark picture could mispredict. */
function unit(value: number): number {
  return 0.25 * (Math.abs(value + 1) - Math.abs(value - 1)) + 0.5
}

/** The images of an `np` batch as 8-bit pixels. */
export function toBitmaps({ data, dims }: NumpyImages): Bitmap[] {
  const [n = 0, height = 0, width = 0, channels = 0] = dims
  const pixels = eightBit(data)
  const size = height * width * channels
  return Array.from({ length: n }, (_, i) => ({
    data: pixels.subarray(i * size, (i + 1) * size),
    width,
    height,
    channels,
  }))
}

export function toPng({ data, width, height }: Bitmap): Promise<Buffer> {
  return encodePng({ data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels: 3 })
}

function eightBit(data: Float32Array): Uint8ClampedArray {
  const pixels = new Uint8ClampedArray(data.length)
  // In float32, as numpy multiplies; what is half-way goes to the even number in these arrays as in numpy.
  for (let i = 0; i < data.length; i++) pixels[i] = Math.fround(data[i]! * 255)
  return pixels
}
