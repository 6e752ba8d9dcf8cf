/** The numbers of a graph's weights, read from where they lie: all of one, or a part of it. */

import { closeSync, openSync, readSync } from 'node:fs'
import { EngineError } from '../errors.ts'
import { fromFloat16 } from '../models/float16.ts'
import type { Initializer, Place } from './onnx-file.ts'
import { DataType } from './onnx-schema.ts'

const WIDTH: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.FLOAT16]: 2,
  [DataType.BFLOAT16]: 2,
}

/** Whether it is a floating point number type that can be read here. */
export function isReadable(dataType: number): boolean {
  return WIDTH[dataType] !== undefined
}

/** @returns Nothing where the weight is no fp32, fp16 or bf16, or has no bytes. */
export function valuesOf(initializer: Initializer): Float32Array | undefined {
  const { tensor, place } = initializer
  if (!isReadable(tensor.dataType) || (!place && !tensor.rawData?.length)) return undefined
  const reader = new WeightReader(initializer)
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

/** One weight of fp32, fp16 or bf16, open to be read in parts. */
export class WeightReader {
  readonly #dataType: number
  readonly #bytes: Uint8Array | undefined
  readonly #floats: readonly number[] | undefined
  readonly #place: Place | undefined
  readonly #file: number | undefined

  constructor({ tensor, place }: Initializer) {
    this.#dataType = tensor.dataType
    this.#bytes = tensor.rawData
    this.#floats = tensor.floatData
    this.#place = place
    this.#file = place && openSync(place.path, 'r')
  }

  /** @throws EngineError 'model' where the file ends before. */
  read(from: number, count: number): Float32Array {
    if (this.#file === undefined && this.#floats?.length)
      return Float32Array.from(this.#floats.slice(from, from + count))
    const width = WIDTH[this.#dataType]!
    const bytes = this.#bytesAt(from * width, count * width)
    if (this.#dataType === DataType.FLOAT) return new Float32Array(bytes.buffer, 0, count)
    const halves = new Uint16Array(bytes.buffer, 0, count)
    return this.#dataType === DataType.FLOAT16 ? fromFloat16(halves) : fromBfloat16(halves)
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
  }

  #bytesAt(from: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    if (this.#file === undefined || !this.#place) bytes.set(this.#bytes!.subarray(from, from + length))
    else if (readSync(this.#file, bytes, 0, length, this.#place.offset + from) < length)
      throw new EngineError('model', `${this.#place.path} ends before its weights do; download it again.`)
    return bytes
  }
}

/** The upper halves of float32. */
function fromBfloat16(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length)
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16
  return new Float32Array(bits.buffer)
}
