/**
 * Where the entries of a zip archive lie in it. torch.save stores tensors uncompressed, so they can be used where they are;
 * libraries for zip give an entry's data and not its place. Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import type { ByteFile } from './byte-file.ts'
import { quoted, weightError } from './weight-error.ts'

export interface ZipEntry {
  readonly name: string
  /** Of the data, in bytes; stored as it is where `isStored`. */
  readonly size: number
  readonly isStored: boolean
  /** Where the entry's own header begins. */
  readonly headerOffset: number
}

const END = { signature: 0x06054b50, length: 22, longestComment: 0xffff }
const LOCATOR = { signature: 0x07064b50, length: 20 }
const END_64 = { signature: 0x06064b50, length: 56 }
const CENTRAL = { signature: 0x02014b50, length: 46 }
const LOCAL = { signature: 0x04034b50, length: 30 }
const EXTRA_64 = 0x0001

const MOST_ENTRIES = 200_000
const LONGEST_DIRECTORY = 64 * 2 ** 20
const STORED = 0
const ENCRYPTED = 1

/** By name. @throws EngineError 'model' when the archive is cut off or damaged. */
export function readZipDirectory(file: ByteFile): Map<string, ZipEntry> {
  const { offset, length, count } = findDirectory(file)
  if (count > MOST_ENTRIES || length > LONGEST_DIRECTORY || offset + length > file.size) throw damaged(file)
  const bytes = file.read(offset, offset + length)
  const entries = new Map<string, ZipEntry>()
  for (let at = 0; entries.size < count; ) {
    if (at + CENTRAL.length > bytes.length || bytes.readUInt32LE(at) !== CENTRAL.signature) throw damaged(file)
    const end =
      at + CENTRAL.length + bytes.readUInt16LE(at + 28) + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32)
    if (end > bytes.length) throw damaged(file)
    const entry = centralEntry(file, bytes.subarray(at, end))
    if (entries.has(entry.name)) throw damaged(file)
    entries.set(entry.name, entry)
    at = end
  }
  return entries
}

/** Where the entry's data begins. @throws EngineError 'model' when it is compressed, or does not lie in the file. */
export function dataOffset(file: ByteFile, entry: ZipEntry): number {
  if (!entry.isStored)
    throw weightError(
      file.path,
      `holds ${quoted(entry.name)} packed, as no program of PyTorch writes it; unpack the archive and save it with torch.save.`,
    )
  const { headerOffset: at, name } = entry
  if (at + LOCAL.length > file.size) throw damaged(file)
  const header = file.read(at, at + LOCAL.length)
  const nameStart = at + LOCAL.length
  const nameEnd = nameStart + header.readUInt16LE(26)
  const start = nameEnd + header.readUInt16LE(28)
  // The directory and the entry must be of one mind, or two programs would read two models out of one file.
  if (header.readUInt32LE(0) !== LOCAL.signature || header.readUInt16LE(8) !== STORED) throw damaged(file)
  if (start + entry.size > file.size || file.read(nameStart, nameEnd).toString('utf8') !== name) throw damaged(file)
  return start
}

interface Directory {
  readonly offset: number
  readonly length: number
  readonly count: number
}

function findDirectory(file: ByteFile): Directory {
  const tailStart = Math.max(0, file.size - END.length - END.longestComment)
  const tail = file.read(tailStart, file.size)
  for (let at = tail.length - END.length; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END.signature || at + END.length + tail.readUInt16LE(at + 20) !== tail.length)
      continue
    const found = {
      count: tail.readUInt16LE(at + 10),
      length: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    }
    const isFull = found.count === 0xffff || found.length === 0xffffffff || found.offset === 0xffffffff
    return directory64(file, tailStart + at, isFull) ?? found
  }
  throw weightError(file.path, 'is cut off: the directory at its end is missing; download it again.')
}

/** The directory's place in 64 bits, where the archive gives it so. */
function directory64(file: ByteFile, end: number, isNeeded: boolean): Directory | undefined {
  const at = end - LOCATOR.length
  const locator = at >= 0 ? file.read(at, end) : undefined
  if (locator?.readUInt32LE(0) !== LOCATOR.signature) {
    if (isNeeded) throw damaged(file)
    return undefined
  }
  const start = safeNumber(file, locator.readBigUInt64LE(8))
  if (start + END_64.length > at) throw damaged(file)
  const record = file.read(start, start + END_64.length)
  if (record.readUInt32LE(0) !== END_64.signature) throw damaged(file)
  const [count, length, offset] = [32, 40, 48].map((place) => safeNumber(file, record.readBigUInt64LE(place)))
  return { count: count!, length: length!, offset: offset! }
}

function centralEntry(file: ByteFile, record: Buffer): ZipEntry {
  const nameEnd = CENTRAL.length + record.readUInt16LE(28)
  const extra = record.subarray(nameEnd, nameEnd + record.readUInt16LE(30))
  const wide = extraField(extra, EXTRA_64)
  // Those that do not fit in 32 bits follow each other in the extra field, in this order.
  let at = 0
  const field = (place: number): number => {
    const value = record.readUInt32LE(place)
    if (value !== 0xffffffff) return value
    if (!wide || at + 8 > wide.length) throw damaged(file)
    at += 8
    return safeNumber(file, wide.readBigUInt64LE(at - 8))
  }
  const size = field(24)
  const packedSize = field(20)
  const headerOffset = field(42)
  const isEncrypted = (record.readUInt16LE(8) & ENCRYPTED) !== 0
  return {
    name: record.toString('utf8', CENTRAL.length, nameEnd),
    size,
    isStored: record.readUInt16LE(10) === STORED && packedSize === size && !isEncrypted,
    headerOffset,
  }
}

function extraField(extra: Buffer, wanted: number): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2)
    if (extra.readUInt16LE(at) === wanted) return extra.subarray(at + 4, end)
    at = end
  }
  return undefined
}

function safeNumber(file: ByteFile, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(file)
  return Number(value)
}

function damaged({ path }: ByteFile) {
  return weightError(path, 'is damaged (its zip directory and its entries do not fit together); download it again.')
}
