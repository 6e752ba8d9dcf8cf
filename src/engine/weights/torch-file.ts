/**
 * PyTorch's own files (.bin, .ckpt, .pt, .pth) in their zip form: a pickle that describes the tensors, and their bytes in
 * entries of their own, uncompressed, used where they lie. Written by `_save` in torch/serialization.py, since 1.6.
 */

import { type ByteFile, withFile } from './byte-file.ts'
import { PickleError, readPickle } from './pickle.ts'
import type { TorchTensor } from './pickle-values.ts'
import { type StateDict, stateDict } from './state-dict.ts'
import { type StoredTensor, type StoredType, TYPE_WIDTH } from './stored-tensor.ts'
import { type WeightFile, weightsOf } from './tensor-map.ts'
import { torchPickleReader, UnknownCallError } from './torch-pickle.ts'
import { quoted, weightError } from './weight-error.ts'
import { dataOffset, readZipDirectory, type ZipEntry } from './zip-directory.ts'

export function isZip(head: Buffer): boolean {
  return /^504b(?:0304|0506|0708)/.test(head.toString('hex', 0, 4))
}

/** The largest that is known takes 3 MB. */
const LONGEST_PICKLE = 64 * 2 ** 20

/** @throws EngineError 'model' when it is another archive, holds code, or a tensor that cannot be used where it lies. */
export function readTorchFile(path: string): WeightFile {
  return withFile(path, (file) => {
    const archive = openArchive(file)
    const { tensors, metadata } = readStateDict(archive)
    if (tensors.size === 0) throw weightError(path, 'holds no weights by name; give the file of a model.')
    const stored = new Map<string, StoredTensor>()
    for (const [name, tensor] of tensors) stored.set(name, storedTensor(archive, name, tensor))
    return { weights: weightsOf(stored), metadata }
  })
}

interface Archive {
  readonly file: ByteFile
  readonly entries: ReadonlyMap<string, ZipEntry>
  /** All entries lie in one folder, called as the file was when it was saved. */
  readonly folder: string
  /** Where each entry's data begins, as far as it was asked for. */
  readonly offsets: Map<string, number>
}

function openArchive(file: ByteFile): Archive {
  const entries = readZipDirectory(file)
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1)
    throw weightError(
      file.path,
      'is a zip archive and no checkpoint of PyTorch; unpack it and give the file of weights in it.',
    )
  const archive = { file, entries, folder: pickle.slice(0, -'data.pkl'.length), offsets: new Map() }
  if (entries.has(`${archive.folder}constants.pkl`))
    throw weightError(file.path, 'is a program of TorchScript; give the file of its weights (its state_dict).')
  const isBigEndian = entries.has(`${archive.folder}byteorder`) && !isLittle(readEntry(archive, 'byteorder', 16))
  if (isBigEndian)
    throw weightError(
      file.path,
      'was saved on a machine of another byte order (big-endian); save it again on a usual one.',
    )
  return archive
}

function isLittle(byteOrder: Buffer | undefined): boolean {
  return byteOrder?.toString('latin1') === 'little'
}

function readStateDict(archive: Archive): StateDict {
  const { path } = archive.file
  const pickle = readEntry(archive, 'data.pkl', LONGEST_PICKLE)
  if (!pickle) throw damaged(archive, 'its pickle is too large')
  try {
    const read = stateDict(readPickle(pickle, torchPickleReader))
    if (!read) throw weightError(path, 'holds no weights by name; save the `state_dict()` of the model.')
    return read
  } catch (error) {
    if (error instanceof UnknownCallError)
      throw weightError(
        path,
        `holds ${quoted(error.callee)}, which is code and no weights, so it is not opened; take a .safetensors file of the model.`,
      )
    if (error instanceof PickleError) throw damaged(archive, `its pickle ${error.message}`)
    throw error
  }
}

/** torch's types; those that no part of a pipeline can use are missing. */
const TYPES: Readonly<Record<string, StoredType>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
}

function storedTensor(archive: Archive, name: string, tensor: TorchTensor): StoredTensor {
  const { path } = archive.file
  const dtype = Object.hasOwn(TYPES, tensor.dtype) ? TYPES[tensor.dtype] : undefined
  if (!dtype)
    throw weightError(
      path,
      `holds ${quoted(name)} as ${quoted(tensor.dtype)}, which cannot be read here; save it as float32.`,
    )
  const order = axisOrder(tensor)
  if (!order)
    throw weightError(
      path,
      `holds ${quoted(name)} with its numbers in another order (strides ${tensor.strides.join(', ')}); save it again after .contiguous().`,
    )
  const { shape, storage } = tensor
  const width = TYPE_WIDTH[dtype]
  const length = shape.reduce((product, size) => product * size, width)
  const entryName = `data/${storage.key}`
  const start = entryOffset(archive, entryName)
  const size = archive.entries.get(archive.folder + entryName)?.size ?? 0
  if (start === undefined || !(tensor.offset * width + length <= size))
    throw damaged(archive, `it does not hold the bytes of ${quoted(name)}`)
  const place = { path, dtype, shape, offset: start + tensor.offset * width, length }
  return order === 'transposed' ? { ...place, transposed: true } : place
}

/** How the numbers lie, where that is an order that can be used in place. Strides of axes of size 1 say nothing. */
function axisOrder({ shape, strides }: TorchTensor): 'contiguous' | 'transposed' | undefined {
  const isDense = (axes: readonly number[]) => {
    let expected = 1
    for (const axis of axes.toReversed()) {
      if (shape[axis] !== 1 && strides[axis] !== expected) return false
      expected *= shape[axis]!
    }
    return true
  }
  if (shape.includes(0) || isDense([...shape.keys()])) return 'contiguous'
  return shape.length === 2 && isDense([1, 0]) ? 'transposed' : undefined
}

function entryOffset(archive: Archive, name: string): number | undefined {
  const entry = archive.entries.get(archive.folder + name)
  if (!entry) return undefined
  const known = archive.offsets.get(name)
  if (known !== undefined) return known
  const offset = dataOffset(archive.file, entry)
  archive.offsets.set(name, offset)
  return offset
}

/** Nothing where there is no such entry, or it is longer than `longest`. */
function readEntry(archive: Archive, name: string, longest: number): Buffer | undefined {
  const size = archive.entries.get(archive.folder + name)?.size ?? 0
  const start = size <= longest ? entryOffset(archive, name) : undefined
  return start === undefined ? undefined : archive.file.read(start, start + size)
}

function damaged({ file }: Archive, why: string) {
  return weightError(file.path, `is no sound checkpoint of PyTorch (${why}); download it again.`)
}
