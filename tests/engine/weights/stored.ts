/** Files of weights for tests: the fixtures with what torch sees in them, and files written byte by byte. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StoredTensor, Weights } from '../../../src/engine/weights/stored-tensor.ts'

export const WEIGHT_FIXTURES = fileURLToPath(new URL('../../fixtures/weights/', import.meta.url))

interface Expected {
  readonly shape: number[]
  /** Of its bytes in the file. */
  readonly hex: string
  readonly transposed?: boolean
}

/** By file and name; written by `make_fixtures.py`. */
export const EXPECTED = JSON.parse(readFileSync(join(WEIGHT_FIXTURES, 'expected.json'), 'utf8')) as Record<
  string,
  Record<string, Expected>
>

/** The bytes that lie where the tensor says. */
export function bytesOf({ path, offset, length }: StoredTensor): Buffer {
  const file = readFileSync(path)
  if (offset + length > file.length) throw new Error('the place is outside of the file')
  return file.subarray(offset, offset + length)
}

/** All of them in the form of `EXPECTED`. */
export function describeWeights(weights: Weights): Record<string, Expected> {
  return Object.fromEntries(
    [...weights.names()].map((name) => {
      const tensor = weights.get(name)!
      const { shape, transposed } = tensor
      return [name, { shape: [...shape], hex: bytesOf(tensor).toString('hex'), ...(transposed && { transposed }) }]
    }),
  )
}

/** A file with that header, whatever it says, and so many bytes after it. */
export function writeSafetensors(
  path: string,
  header: string | object,
  dataLength: number,
  headerLength?: bigint,
): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(headerLength ?? BigInt(json.length))
  writeFileSync(path, Buffer.concat([prefix, json, Buffer.alloc(dataLength)]))
  return path
}

export interface ZipOptions {
  /** Sizes and places in the 64-bit fields alone. */
  readonly zip64?: boolean
}

/** An archive of stored entries, without checksums. */
export function zipOf(entries: Readonly<Record<string, Buffer>>, { zip64 = false }: ZipOptions = {}): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, data] of Object.entries(entries)) {
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50)
    local.writeUInt32LE(data.length, 18)
    local.writeUInt32LE(data.length, 22)
    local.writeUInt16LE(Buffer.byteLength(name), 26)
    parts.push(local, Buffer.from(name), data)
    directory.push(centralRecord(name, data.length, at, zip64))
    at += 30 + Buffer.byteLength(name) + data.length
  }
  const central = Buffer.concat(directory)
  const count = directory.length
  return Buffer.concat([
    ...parts,
    central,
    ...(zip64 ? end64(count, central.length, at) : []),
    end(count, central.length, at, zip64),
  ])
}

const WIDE = 0xffffffff

function centralRecord(name: string, size: number, offset: number, zip64: boolean): Buffer {
  const extra = zip64 ? wideFields(0x0001, 24, [size, size, offset]) : Buffer.alloc(0)
  const record = Buffer.alloc(46)
  record.writeUInt32LE(0x02014b50)
  record.writeUInt32LE(zip64 ? WIDE : size, 20)
  record.writeUInt32LE(zip64 ? WIDE : size, 24)
  record.writeUInt16LE(Buffer.byteLength(name), 28)
  record.writeUInt16LE(extra.length, 30)
  record.writeUInt32LE(zip64 ? WIDE : offset, 42)
  return Buffer.concat([record, Buffer.from(name), extra])
}

function wideFields(id: number, length: number, values: number[]): Buffer {
  const field = Buffer.alloc(4 + length)
  field.writeUInt16LE(id)
  field.writeUInt16LE(length, 2)
  for (const [i, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * i)
  return field
}

function end(count: number, length: number, offset: number, zip64: boolean): Buffer {
  const record = Buffer.alloc(22)
  record.writeUInt32LE(0x06054b50)
  record.writeUInt16LE(zip64 ? 0xffff : count, 8)
  record.writeUInt16LE(zip64 ? 0xffff : count, 10)
  record.writeUInt32LE(zip64 ? WIDE : length, 12)
  record.writeUInt32LE(zip64 ? WIDE : offset, 16)
  return record
}

function end64(count: number, length: number, offset: number): Buffer[] {
  const record = Buffer.alloc(56)
  record.writeUInt32LE(0x06064b50)
  record.writeBigUInt64LE(44n, 4)
  for (const [i, value] of [count, count, length, offset].entries()) record.writeBigUInt64LE(BigInt(value), 24 + 8 * i)
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(0x07064b50)
  locator.writeBigUInt64LE(BigInt(offset + length), 8)
  locator.writeUInt32LE(1, 16)
  return [record, locator]
}
