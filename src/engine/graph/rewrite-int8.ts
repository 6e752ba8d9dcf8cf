/** The rewrite that runs a graph in int8, its weights quantised once and kept in Seedling's cache. */

import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { beginEntry, type CacheEntry, dropEntry, entryKey, fileIdentity, openEntry } from '../cache/cache-entries.ts'
import { cpuFlags } from '../devices/cpu-flags.ts'
import type { WeightedNode } from './find-weighted.ts'
import type { Rewrite } from './graph-source.ts'
import type { Initializer } from './onnx-file.ts'
import { findQuantizable, type StoredQuantized, writeQuantized } from './quantize-graph.ts'
import { depthOf, quantizeWeight, type WeightSign } from './quantize-weights.ts'
import { valuesOf } from './weight-values.ts'

/** Changes when the same weights would be quantised differently. */
const VERSION = '1'

const FILE = 'weights.bin'

/** Where each weight begins. */
const ALIGNMENT = 64

/**
 * Linears and convolutions of 64 channels or more, dynamically: activations by their range in each run, without calibration.
 * @param cacheDir Where quantised weights are kept; without it they are in memory, and made anew at each start.
 */
export function rewriteInt8(cacheDir: string | undefined, sign: WeightSign = weightSign()): Rewrite {
  return {
    oneRow: true,
    device: 'cpu',
    apply(graph, path) {
      const found = findQuantizable(graph, path)
      if (found.weighted.length === 0) return graph
      const entry = cacheDir === undefined ? undefined : keptWeights(cacheDir, found.weighted, sign)
      if (!entry)
        return writeQuantized(
          found,
          found.weighted.map((one) => inMemory(one, sign)),
          sign,
        )
      const file = join(entry.path, FILE)
      const places = layout(found.weighted).weights.map(({ values, scales }) => ({
        values: { place: { path: file, ...values } },
        scales: { place: { path: file, ...scales } },
      }))
      const written = writeQuantized(found, places, sign)
      return { ...written, entries: [...(graph.entries ?? []), entry] }
    },
  }
}

/**
 * Signed where the processor adds products in 32 bits (VNNI, and ARM's): a little faster there. Elsewhere signed weights
 * overflow 16 bits, and unsigned ones are exact.
 */
function weightSign(): WeightSign {
  if (process.arch !== 'x64') return 'signed'
  return /\bavx(?:512)?_vnni\b/.test(cpuFlags() ?? '') ? 'signed' : 'unsigned'
}

function inMemory(weighted: WeightedNode, sign: WeightSign): StoredQuantized {
  const { values, scales } = quantizeWeight(weighted, sign)
  return { values: { bytes: values }, scales: { bytes: bytesOf(scales) } }
}

interface Range {
  readonly offset: number
  readonly length: number
}

/** Where the weights lie in the file: by their shapes alone, so that a kept file needs no index. */
function layout(weighted: readonly WeightedNode[]): { weights: { values: Range; scales: Range }[]; size: number } {
  let size = 0
  const next = (length: number) => {
    const offset = Math.ceil(size / ALIGNMENT) * ALIGNMENT
    size = offset + length
    return { offset, length }
  }
  const weights = weighted.map((one) => ({ values: next(depthOf(one) * one.outputs), scales: next(4 * one.outputs) }))
  return { weights, size }
}

/** @returns Nothing where they cannot be kept. */
function keptWeights(cacheDir: string, weighted: readonly WeightedNode[], sign: WeightSign): CacheEntry | undefined {
  const key = keyOf(weighted, sign)
  const { size } = layout(weighted)
  const kept = openEntry(cacheDir, key)
  if (kept && isWhole(kept, size)) return kept
  if (kept) {
    kept.release()
    dropEntry(cacheDir, key)
  }
  const draft = beginEntry(cacheDir, key, size)
  if (!draft) return undefined
  try {
    writeWeights(join(draft.path, FILE), weighted, sign)
  } catch (error) {
    draft.discard()
    if ((error as NodeJS.ErrnoException).syscall === 'write') return undefined
    throw error
  }
  return draft.keep()
}

function isWhole({ path }: CacheEntry, size: number): boolean {
  try {
    return statSync(join(path, FILE)).size === size
  } catch {
    return false
  }
}

function keyOf(weighted: readonly WeightedNode[], sign: WeightSign): string {
  const identities = new Map<string, string>()
  const identity = (path: string) => {
    const known = identities.get(path) ?? fileIdentity(path)
    identities.set(path, known)
    return known
  }
  const sourceOf = (initializer: Initializer) => {
    const { tensor, place } = initializer
    const source = place ? [identity(place.path), place.offset, place.length] : (valuesOf(initializer) ?? [])
    return [tensor.dataType, ...source]
  }
  const described = weighted.map(({ weight: { initializer, scale }, inputs, outputs, outputsFirst, window }) => {
    const scaled = scale ? [scale.axis, sourceOf(scale.initializer)] : []
    return JSON.stringify([sourceOf(initializer), scaled, inputs, outputs, outputsFirst, window?.size])
  })
  return entryKey('int8', VERSION, sign, ...described)
}

function writeWeights(path: string, weighted: readonly WeightedNode[], sign: WeightSign): void {
  const file = openSync(path, 'wx')
  try {
    const { weights } = layout(weighted)
    for (const [i, one] of weighted.entries()) {
      const { values, scales } = quantizeWeight(one, sign)
      writeAll(file, values, weights[i]!.values.offset)
      writeAll(file, bytesOf(scales), weights[i]!.scales.offset)
    }
  } finally {
    closeSync(file)
  }
}

function writeAll(file: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, offset + done)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
