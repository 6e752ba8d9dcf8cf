/** What is coming, small: the images that the next steps aim at, n of them in ⌈√n⌉ columns of one PNG. */

import sharp from 'sharp'
import type { Tensor } from '../tensor.ts'
import { type LatentRgb, latentsToRgb } from './latent-rgb.ts'

/** Longest side, in pixels. */
const MAX_SIDE = 256

/** `latents` are predicted originals `[1, c, h, w]`, all of one size. */
export async function encodePreview(
  latents: readonly Tensor[],
  map: LatentRgb,
  vaeScaleFactor: number,
): Promise<Buffer> {
  const [height, width] = [latents[0]!.dims[2]!, latents[0]!.dims[3]!]
  const columns = Math.ceil(Math.sqrt(latents.length))
  const grid = { width: columns * width, height: Math.ceil(latents.length / columns) * height }
  const data = new Uint8Array(grid.width * grid.height * 3)
  for (const [index, image] of latents.entries()) {
    const [left, top] = [(index % columns) * width, Math.floor(index / columns) * height]
    const rgb = latentsToRgb(image, map)
    for (let y = 0; y < height; y++) {
      data.set(rgb.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * grid.width + left) * 3)
    }
  }
  const scale = Math.min(vaeScaleFactor, MAX_SIDE / Math.max(grid.width, grid.height))
  return sharp(data, { raw: { ...grid, channels: 3 } })
    .resize(Math.round(grid.width * scale), Math.round(grid.height * scale), { fit: 'fill', kernel: 'mitchell' })
    .png({ compressionLevel: 6 })
    .toBuffer()
}
