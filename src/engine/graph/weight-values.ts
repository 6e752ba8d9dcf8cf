/** The numbers of a graph's weights, read from where they lie: all of one, or a part of it. */

import { closeSync, openSync, readSync } from 'node:fs'
import { EngineError } from '../errors.ts'
import { fromBfloat16, fromFloat16 } from '../float16.ts'
import type { Initializer, Place } from './onnx-file.ts'
import { DataType } from './onnx-schema.ts'

/** A weight as it is stored: small files hold whole numbers and what each row or column of them is multiplied with. */
export interface StoredWeight {
  readonly initializer: Initializer
  readonly scale?: { readonly initializer: Initializer; readonly axis: number }
}

interface NumberType {
  /** Bytes of one. */
  readonly width: number
  decode(bytes: ArrayBuffer): Float32Array
}

const TYPES: Readonly<Record<number, NumberType>> = {
  [DataType.FLOAT]: { width: 4, decode: (bytes) => new Float32Array(bytes) },
  [DataType.DOUBLE]: { width: 8, decode: (bytes) => Float32Array.from(new Float64Array(bytes)) },
  [DataType.FLOAT16]: { width: 2, decode: (bytes) => fromFloat16(new Uint16Array(bytes)) },
  [DataType.BFLOAT16]: { width: 2, decode: (bytes) => fromBfloat16(new Uint16Array(bytes)) },
  [DataType.INT8]: { width: 1, decode: (bytes) => Float32Array.from(new Int8Array(bytes)) },
  [DataType.FLOAT8E4M3FN]: { width: 1, decode: (bytes) => Float32Array.from(new Uint8Array(bytes), fromFloat8) },
  // The upper half of float16.
  [DataType.FLOAT8E5M2]: {
    width: 1,
    decode: (bytes) => fromFloat16(Uint16Array.from(new Uint8Array(bytes), (upper) => upper << 8)),
  },
}

/** Whether it is a number type that can be read here, and has bytes. */
export function isReadable({ tensor, place, bytes }: Initializer): boolean {
  if (TYPES[tensor.dataType] === undefined) return false
  return Boolean(place || bytes || tensor.rawData?.length || tensor.floatData?.length)
}

/** @returns Nothing where it cannot be read. */
export function valuesOf(initializer: Initializer): Float32Array | undefined {
  if (!isReadable(initializer)) return undefined
  const reader = new WeightReader({ initializer })
  try {
    return reader.read(0, countOf(initializer))
  } finally {
    reader.close()
  }
}

/** How many numbers it has, by its shape. */
export function countOf({ tensor }: Initializer): number {
  return tensor.dims.reduce((product, dim) => product * Number(dim), 1)
}

/** One weight, open to be read in parts. */
export class WeightReader {
  readonly #type: NumberType
  readonly #bytes: Uint8Array | undefined
  readonly #floats: readonly number[] | undefined
  readonly #place: Place | undefined
  readonly #file: number | undefined
  readonly #scale: { values: Float32Array; stride: number } | undefined

  constructor({ initializer, scale }: StoredWeight) {
    const { tensor, place, bytes = tensor.rawData } = initializer
    this.#type = TYPES[tensor.dataType]!
    this.#bytes = bytes
    this.#floats = tensor.floatData
    this.#place = place
    this.#scale = scale && {
      values: valuesOf(scale.initializer)!,
      stride: tensor.dims.slice(scale.axis + 1).reduce((product, dim) => product * Number(dim), 1),
    }
    this.#file = place && openSync(place.path, 'r')
  }

  /** @throws EngineError 'model' where the file ends before. */
  read(from: number, count: number): Float32Array {
    const stored = this.#stored(from, count)
    if (!this.#scale) return stored
    const { values, stride } = this.#scale
    for (let i = 0; i < count; i++) stored[i]! *= values[Math.floor((from + i) / stride) % values.length]!
    return stored
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
  }

  #stored(from: number, count: number): Float32Array {
    if (this.#place || this.#bytes?.length) {
      const { width, decode } = this.#type
      return decode(this.#bytesAt(from * width, count * width))
    }
    return Float32Array.from(this.#floats!.slice(from, from + count))
  }

  #bytesAt(from: number, length: number): ArrayBuffer {
    const bytes = new Uint8Array(length)
    if (this.#file === undefined || !this.#place) bytes.set(this.#bytes!.subarray(from, from + length))
    else if (readSync(this.#file, bytes, 0, length, this.#place.offset + from) < length)
      throw new EngineError('model', `${this.#place.path} ends before its weights do; download it again.`)
    return bytes.buffer
  }
}

/** Four bits of exponent, three of fraction, no infinities (arXiv:2209.05433). */
function fromFloat8(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1
  const exponent = (bits >>> 3) & 0xf
  const fraction = bits & 7
  if (exponent === 0xf && fraction === 7) return Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10))
}
