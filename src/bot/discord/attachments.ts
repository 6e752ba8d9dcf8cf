/** A view's pictures as files that Discord takes: the PNG itself, or a WebP where the PNG is too large. */

import type { RawFile } from 'discord.js'
import sharp from 'sharp'
import type { PictureStore } from '../../store/store.ts'
import type { View } from '../view.ts'
import { cut } from './markdown.ts'

export interface Attachment extends RawFile {
  readonly name: string
  readonly data: Uint8Array
  readonly contentType: string
  /** The alt text. */
  readonly description: string
}

/** What Discord takes everywhere; boosted guilds and paying members may send more, the bot's own edits may not. */
export const DEFAULT_LIMIT = 10 * 2 ** 20
/** A whole request may have 25 MiB; some are left for its other parts. */
const REQUEST_LIMIT = 24 * 2 ** 20
const ALT_LIMIT = 1024
const QUALITIES = [92, 80, 60]
const SCALES = [1, 1 / 2, 1 / 4, 1 / 8]

/**
 * The files to show for a view: its preview, or its pictures as far as they are still kept.
 * @param limit bytes that one file may have
 */
export async function attachmentsOf(view: View, pictures: PictureStore, limit: number): Promise<Attachment[]> {
  if (view.preview) {
    return [{ name: 'preview.png', data: view.preview, contentType: 'image/png', description: 'What is coming' }]
  }
  const share = Math.min(limit, Math.floor(REQUEST_LIMIT / Math.max(1, view.pictures.length)))
  const files = view.pictures.map(async ({ index, name, alt }): Promise<Attachment | undefined> => {
    const png = await pictures.read(view.job, index)
    if (!png) return undefined
    const description = cut([...alt], ALT_LIMIT)
    if (png.length <= share) return { name, data: png, contentType: 'image/png', description }
    const data = await smaller(png, share)
    return { name: name.replace(/\.png$/, '.webp'), data, contentType: 'image/webp', description }
  })
  return (await Promise.all(files)).filter((file) => file !== undefined)
}

/** The best WebP that fits: less quality first, then fewer pixels. */
async function smaller(png: Buffer, limit: number): Promise<Buffer> {
  const { width } = await sharp(png).metadata()
  let webp = png
  for (const scale of SCALES) {
    for (const quality of QUALITIES) {
      const side = Math.max(1, Math.round(width * scale))
      webp = await sharp(png).resize({ width: side }).webp({ quality }).toBuffer()
      if (webp.length <= limit) return webp
    }
  }
  return webp
}
