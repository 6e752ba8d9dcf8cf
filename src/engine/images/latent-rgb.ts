/** What latents look like without the VAE: red, green and blue as a linear map of a latent pixel's channels. */

import type { Tensor } from '../tensor.ts'

/** `rgb[k] = bias[k] + Σ latent[c] · factors[c][k]`, in [−1, 1]; the latents are scaled as the UNet sees them. */
export interface LatentRgb {
  readonly factors: readonly (readonly [number, number, number])[]
  readonly bias: readonly [number, number, number]
}

/** Stable Diffusion 1 and 2 (comfyanonymous/ComfyUI `comfy/latent_formats.py`). */
const SD: LatentRgb = {
  factors: [
    [0.3512, 0.2297, 0.3227],
    [0.325, 0.4974, 0.235],
    [-0.2829, 0.1762, 0.2721],
    [-0.212, -0.2616, -0.7177],
  ],
  bias: [0, 0, 0],
}

/** Stable Diffusion XL (the same file). */
const SDXL: LatentRgb = {
  factors: [
    [0.3651, 0.4232, 0.4341],
    [-0.2533, -0.0042, 0.1068],
    [0.1076, 0.1111, -0.0362],
    [-0.3165, -0.2492, -0.2188],
  ],
  bias: [0.1084, -0.0175, -0.0011],
}

/** The published map of a known VAE, told by its scale. */
export function knownLatentRgb(channels: number, scalingFactor: number): LatentRgb | undefined {
  if (channels !== 4) return undefined
  if (scalingFactor === 0.18215) return SD
  return scalingFactor === 0.13025 ? SDXL : undefined
}

/** Patches are this many latent pixels wide: broad enough to be flat inside, small enough to give many colours. */
const PATCH = 4
const SIDE = 4 * PATCH

/** Pictures for `fitLatentRgb` to be encoded: squares of any colour, `[count, 3, side, side]` in [−1, 1]. */
export function colourPatches(count: number, vaeScaleFactor: number): Tensor {
  const [side, patch] = [SIDE * vaeScaleFactor, PATCH * vaeScaleFactor]
  const data = new Float32Array(count * 3 * side * side)
  // A Weyl sequence covers the colours evenly, and the same way each time.
  const colour = (image: number, channel: number, square: number) =>
    2 * (((image * 16 + square + 1) * [0.8191725, 0.6710436, 0.5497005][channel]!) % 1) - 1
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [i % side, Math.floor(i / side) % side]
    const [channel, image] = [Math.floor(i / side ** 2) % 3, Math.floor(i / side ** 2 / 3)]
    data[i] = colour(image, channel, Math.floor(y / patch) * 4 + Math.floor(x / patch))
  }
  return { data, dims: [count, 3, side, side] }
}

/** Least squares between pictures `[n, 3, H, W]` and their latents `[n, c, h, w]`; keeps 9/10 of what a decode shows. */
export function fitLatentRgb(latents: Tensor, images: Tensor): LatentRgb {
  const channels = latents.dims[1]!
  const small = shrink(images, latents.dims[2]!, latents.dims[3]!)
  const normal = Array.from({ length: channels + 1 }, () => new Array<number>(channels + 4).fill(0))
  eachPixel(latents, (latent, image, pixel) => {
    const row = [...latent, 1, ...[0, 1, 2].map((k) => small.data[(image * 3 + k) * small.dims[2]! + pixel]!)]
    for (const [i, equation] of normal.entries()) {
      for (let j = 0; j < row.length; j++) equation[j]! += row[i]! * row[j]!
    }
  })
  const solution = solve(normal) as [number, number, number][]
  return { factors: solution.slice(0, channels), bias: solution[channels]! }
}

/** Red, green, blue of each latent pixel of `[1, c, h, w]`, eight bits each, row by row. */
export function latentsToRgb(latents: Tensor, { factors, bias }: LatentRgb): Uint8Array {
  const rgb = new Uint8ClampedArray(latents.dims[2]! * latents.dims[3]! * 3)
  eachPixel(latents, (latent, _, pixel) => {
    for (let k = 0; k < 3; k++) {
      const value = latent.reduce((sum, x, c) => sum + x * factors[c]![k]!, bias[k]!)
      rgb[pixel * 3 + k] = (value + 1) * 127.5
    }
  })
  return new Uint8Array(rgb.buffer)
}

function eachPixel(
  { data, dims: [images, channels, height, width] }: Tensor,
  visit: (latent: number[], image: number, pixel: number) => void,
): void {
  const pixels = height! * width!
  const latent = new Array<number>(channels!)
  for (let image = 0; image < images!; image++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let c = 0; c < channels!; c++) latent[c] = data[(image * channels! + c) * pixels + pixel]!
      visit(latent, image, pixel)
    }
  }
}

/** Area average, `[n, 3, height · width]`. */
function shrink({ data, dims }: Tensor, height: number, width: number): Tensor {
  const [planes, fromHeight, fromWidth] = [dims[0]! * 3, dims[2]!, dims[3]!]
  const [down, across] = [fromHeight / height, fromWidth / width]
  const small = new Float32Array(planes * height * width)
  for (let i = 0; i < data.length; i++) {
    const [x, y, plane] = [
      i % fromWidth,
      Math.floor(i / fromWidth) % fromHeight,
      Math.floor(i / fromWidth / fromHeight),
    ]
    small[(plane * height + Math.floor(y / down)) * width + Math.floor(x / across)]! += data[i]! / (down * across)
  }
  return { data: small, dims: [dims[0]!, 3, height * width] }
}

/** Gauss–Jordan on `[A | B]`, A symmetric and positive; a little on its diagonal keeps a constant channel harmless. */
function solve(equations: number[][]): number[][] {
  const n = equations.length
  for (let pivot = 0; pivot < n; pivot++) equations[pivot]![pivot]! += 1e-6 * equations[n - 1]![n - 1]!
  for (let pivot = 0; pivot < n; pivot++) {
    const row = equations[pivot]!.map((value) => value / equations[pivot]![pivot]!)
    equations[pivot] = row
    for (let other = 0; other < n; other++) {
      const factor = equations[other]![pivot]!
      if (other !== pivot) equations[other] = equations[other]!.map((value, j) => value - factor * row[j]!)
    }
  }
  return equations.map((row) => row.slice(n))
}
