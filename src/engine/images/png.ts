/** From pixels to a PNG, enlarged where asked, its parameters inside; the same pixels give the same bytes. */

import sharp from 'sharp'
import { writePngText } from './png-text.ts'

/** Eight bits a channel, row by row. */
export interface Pixels {
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3 | 4
}

export interface EncodePngOptions {
  /** How many times larger the picture becomes (Lanczos). Default 1. */
  readonly upscale?: number
  /** Nothing but colours is left to see. Default false. */
  readonly blur?: boolean
  /** Text under the keyword `parameters`. */
  readonly parameters?: string
}

// One picture is encoded at a time, so a pool and a cache would only hold memory.
sharp.concurrency(1)
sharp.cache(false)

/** Written out rather than left to sharp's defaults: pictures must repeat byte for byte. */
const PNG = { compressionLevel: 6, adaptiveFiltering: false, palette: false } as const

export async function encodePng(pixels: Pixels, options: EncodePngOptions = {}): Promise<Buffer> {
  const { upscale = 1, blur = false, parameters } = options
  const { data, width, height, channels } = pixels
  let image = sharp(data, { raw: { width, height, channels } })
  if (blur) image = image.blur((Math.max(width, height) * upscale) / 16)
  if (upscale !== 1) image = image.resize(width * upscale, height * upscale, { kernel: 'lanczos3', fit: 'fill' })
  const png = await image.png(PNG).toBuffer()
  return parameters === undefined ? png : writePngText(png, 'parameters', parameters)
}
