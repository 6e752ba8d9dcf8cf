/**
 * A .safetensors file's tensors: names, types, shapes and places; their bytes stay where they are.
 * The format and its rules: https://github.com/huggingface/safetensors#format
 */

import { isUtf8 } from 'node:buffer'
import { type ByteFile, withFile } from './byte-file.ts'
import { type Header, type HeaderEntry, HeaderError, readHeader } from './safetensors-header.ts'
import { type StoredTensor, type StoredType, TYPE_WIDTH } from './stored-tensor.ts'
import { type WeightFile, weightsOf } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'

/** The length of the header, in front of it. */
export const PREFIX = 8

/** The reference implementation's limit. */
const LONGEST_HEADER = 100_000_000

/** @throws EngineError 'model' when the file is no safetensors file, or not a whole one, or its header lies. */
export function readSafetensors(path: string): WeightFile {
  return withFile(path, (file) => {
    const dataStart = PREFIX + headerLength(file)
    const { entries, metadata } = parse(file, dataStart)
    checkPlaces(file, entries, file.size - dataStart)
    const tensors = new Map<string, StoredTensor>()
    for (const [name, entry] of entries) tensors.set(name, storedTensor(file, name, entry, dataStart))
    return { weights: weightsOf(tensors), metadata }
  })
}

function headerLength(file: ByteFile): number {
  if (file.size < PREFIX) throw cutOff(file)
  const length = Number(file.read(0, PREFIX).readBigUInt64LE())
  if (length > LONGEST_HEADER)
    throw weightError(
      file.path,
      'is no safetensors file: its header would be longer than 100 MB; give another file, or download it again.',
    )
  if (PREFIX + length > file.size) throw cutOff(file)
  return length
}

function parse(file: ByteFile, dataStart: number): Header {
  const bytes = file.read(PREFIX, dataStart)
  try {
    // The format wants no white space in front.
    if (bytes[0] !== '{'.charCodeAt(0) || !isUtf8(bytes)) throw new HeaderError('is no JSON object in UTF-8')
    return readHeader(bytes)
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error
    throw damaged(file, `its header ${shortened(error.message)}`)
  }
}

/** The tensors' bytes lie one behind the other and fill the file: no holes, no overlaps, nothing left over. */
function checkPlaces(file: ByteFile, entries: ReadonlyMap<string, HeaderEntry>, size: number): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)
  let at = 0
  for (const [name, { begin, end }] of inOrder) {
    if (end < begin) throw damaged(file, `${quoted(name)} ends before it begins`)
    if (end > size) throw cutOff(file)
    if (begin < at) throw damaged(file, `${quoted(name)} overlaps another tensor`)
    if (begin > at) throw damaged(file, `nothing says what lies before ${quoted(name)}`)
    at = end
  }
  if (at < size) throw damaged(file, `its last ${size - at} bytes belong to no tensor`)
}

function storedTensor(
  { path }: ByteFile,
  name: string,
  { dtype, shape, begin, end }: HeaderEntry,
  dataStart: number,
): StoredTensor {
  if (!isStoredType(dtype))
    throw weightError(
      path,
      `holds ${quoted(name)} as ${quoted(dtype)}, which cannot be read here; take a file in F32, F16 or BF16.`,
    )
  const length = shape.reduce((product, size) => product * size, TYPE_WIDTH[dtype])
  // Infinity and what lost digits differ from every offset, which are safe integers.
  if (length !== end - begin)
    throw damaged({ path }, `${quoted(name)} has ${end - begin} bytes, which is not ${dtype} [${shape.join(', ')}]`)
  return { path, dtype, shape, offset: dataStart + begin, length }
}

function isStoredType(dtype: string): dtype is StoredType {
  return Object.hasOwn(TYPE_WIDTH, dtype)
}

function damaged({ path }: Pick<ByteFile, 'path'>, why: string) {
  return weightError(path, `is no sound safetensors file (${why}); download it again.`)
}

function cutOff({ path }: ByteFile) {
  return weightError(path, 'is cut off: its header promises more bytes than there are; download it again.')
}

function shortened(text: string): string {
  return quoted(text).slice(1, -1)
}
