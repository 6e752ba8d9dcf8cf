/** Where the full-size pipeline lies, which is too large to come with the project. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { available } from './memory.js'

/** @param {number} needs GiB of free memory. @returns {{ onnx: string, torch: string } | { why: string }} */
export function fullSizePipeline(needs) {
  const folder = process.env.SEEDLING_BENCH_FULL_SIZE
  if (!folder)
    return { why: 'full size: skipped; make it with bench/reference/make_full_size.py, set SEEDLING_BENCH_FULL_SIZE' }
  const [onnx, torch] = [join(folder, 'onnx'), join(folder, 'torch')]
  if (!existsSync(onnx)) return { why: `full size: skipped; ${onnx} is not there` }
  const free = available() / 1024
  if (free < needs)
    return { why: `full size: skipped; it needs ${needs} GiB of memory and ${free.toFixed(1)} are free` }
  return { onnx, torch }
}
