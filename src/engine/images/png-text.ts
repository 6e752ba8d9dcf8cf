/** Text inside a PNG: `tEXt` where it is Latin-1, else UTF-8 in `iTXt`, as Pillow and AUTOMATIC1111 write it (PNG 3rd edition, §11.3.3). */

import { crc32, inflateSync } from 'node:zlib'
import { EngineError } from '../errors.ts'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
/** The signature and the IHDR chunk, which comes first in every PNG. */
const HEADER_LENGTH = 33
/** No parameters of ours come near; what is longer was made to hurt. */
const MAX_TEXT_LENGTH = 1 << 20

/** A copy of `png` with `text` under `keyword` (1 to 79 Latin-1 characters), right behind the header. */
export function writePngText(png: Uint8Array, keyword: string, text: string): Buffer {
  const data = isLatin1(text)
    ? chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'))
    : chunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')]))
  return Buffer.concat([png.subarray(0, HEADER_LENGTH), data, png.subarray(HEADER_LENGTH)])
}

/**
 * The first text under `keyword`, or undefined where there is none.
 * @throws EngineError `argument` for anything that is no whole PNG up to that text
 */
export function readPngText(png: Uint8Array, keyword: string): string | undefined {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  if (!bytes.subarray(0, SIGNATURE.length).equals(SIGNATURE)) {
    throw new EngineError('argument', 'This file is no PNG; choose a picture that Seedling made.')
  }
  let offset = SIGNATURE.length
  while (offset < bytes.length) {
    if (offset + 12 > bytes.length) throw damaged()
    const length = bytes.readUInt32BE(offset)
    const type = bytes.toString('latin1', offset + 4, offset + 8)
    const end = offset + 12 + length
    if (end > bytes.length) throw damaged()
    if (type === 'tEXt' || type === 'iTXt' || type === 'zTXt') {
      if (crc32(bytes.subarray(offset + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) throw damaged()
      const text = textOf(type, bytes.subarray(offset + 8, end - 4), keyword)
      if (text !== undefined) return text
    }
    if (type === 'IEND') return undefined
    offset = end
  }
  throw damaged()
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  crc.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, crc])
}

/** A NUL would end the text, so it does not fit `tEXt`; nor do C1 controls, which Latin-1 readers disagree about. */
function isLatin1(text: string): boolean {
  return /^[\t\n\x20-\x7e\xa0-\xff]*$/u.test(text)
}

function textOf(type: string, data: Buffer, keyword: string): string | undefined {
  const start = data.indexOf(0)
  if (start < 0 || data.toString('latin1', 0, start) !== keyword) return undefined
  if (data.length > MAX_TEXT_LENGTH) throw damaged()
  const rest = data.subarray(start + 1)
  if (type === 'tEXt') return rest.toString('latin1')
  if (type === 'zTXt') return inflate(rest.subarray(1)).toString('latin1')
  const language = rest.indexOf(0, 2)
  const translated = rest.indexOf(0, language + 1)
  if (language < 0 || translated < 0) throw damaged()
  const text = rest.subarray(translated + 1)
  return (rest[0] === 1 ? inflate(text) : text).toString('utf8')
}

function inflate(data: Buffer): Buffer {
  try {
    return inflateSync(data, { maxOutputLength: MAX_TEXT_LENGTH })
  } catch (cause) {
    throw damaged(cause)
  }
}

function damaged(cause?: unknown): EngineError {
  return new EngineError('argument', 'This PNG is damaged or cut off; get the original file again.', { cause })
}
