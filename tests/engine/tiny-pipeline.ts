/** The tiny pipelines of `tests/fixtures/pipelines`, laid out as on a disk: they share one tokenizer, so it lies there once. */

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import type { Tensor } from '../../src/engine/tensor.ts'

export const FIXTURES = fileURLToPath(new URL('../fixtures/pipelines/', import.meta.url))

/** More cases on the same pipelines, made by the `make_goldens.py` that lies there. */
export const MORE_FIXTURES = fileURLToPath(new URL('../fixtures/more-pipelines/', import.meta.url))

/** One thread is the fastest for models this small, and leaves the other core to the other tests. */
export const ON_CPU = { device: 'cpu', sessionOptions: { intraOpNumThreads: 1 } } as const

const made: string[] = []

afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** An empty folder that is gone after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'seedling-'))
  made.push(folder)
  return folder
}

/** A copy of its own, to be changed freely. */
export function tinyPipeline(name: string): string {
  const folder = temporaryFolder()
  cpSync(join(FIXTURES, name), folder, { recursive: true })
  for (const tokenizer of name === 'tiny-sdxl' ? ['tokenizer', 'tokenizer_2'] : ['tokenizer'])
    cpSync(join(FIXTURES, 'clip-tokenizer'), join(folder, tokenizer), { recursive: true })
  return folder
}

/** A float32 array as numpy saves it. */
export function readNpy(path: string): Tensor {
  const file = readFileSync(path)
  const start = 10 + file.readUInt16LE(8)
  const shape = /'shape': \(([^)]*)\)/.exec(file.toString('latin1', 10, start))![1]!
  const dims = shape
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number)
  const bytes = Uint8Array.from(file.subarray(start))
  return { data: new Float32Array(bytes.buffer), dims }
}

/** The largest difference, and the largest number of `wanted`. */
export function compare(given: Tensor, wanted: Tensor): { difference: number; magnitude: number } {
  let difference = given.data.length === wanted.data.length ? 0 : Number.POSITIVE_INFINITY
  let magnitude = 0
  wanted.data.forEach((value, i) => {
    magnitude = Math.max(magnitude, Math.abs(value))
    const off = Math.abs(value - given.data[i]!)
    // NaN compares to nothing, so ask for what must hold.
    if (!(off <= difference)) difference = off
  })
  return { difference, magnitude }
}
