/** Weights of one part in several files, and the index.json that says which lies where. */

import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { withFile } from './byte-file.ts'
import type { StoredTensor } from './stored-tensor.ts'
import { type WeightFile, weightsOf } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'
import { openWeightFile } from './weight-file.ts'

/** That of a model with 1,000 tensors takes 100 KB. */
const LONGEST_INDEX = 8 * 2 ** 20
const MOST_SHARDS = 1000

/**
 * Opens the shards that an index names.
 *
 * @param path `diffusion_pytorch_model.safetensors.index.json`, `pytorch_model.bin.index.json` …; shards lie beside it.
 * @throws EngineError 'model' when the index names files elsewhere, or a shard is missing or lacks what it should hold.
 */
export function openShards(path: string): WeightFile {
  const files = readIndex(path)
  const tensors = new Map<string, StoredTensor>()
  for (const [file, names] of files) {
    const shard = join(dirname(path), file)
    if (!statSync(shard, { throwIfNoEntry: false }))
      throw weightError(path, `needs ${quoted(file)}, which is not beside it; download that file too.`)
    const { weights } = openWeightFile(shard)
    for (const name of names) {
      const tensor = weights.get(name)
      if (!tensor) throw weightError(shard, `lacks ${quoted(name)}, which its index promises; download both again.`)
      tensors.set(name, tensor)
    }
  }
  return { weights: weightsOf(tensors), metadata: new Map() }
}

/** By file, the names that it holds. */
function readIndex(path: string): Map<string, string[]> {
  const json = parse(path)
  const weightMap = isObject(json) ? json.weight_map : undefined
  if (!isObject(weightMap)) throw damaged(path)
  const files = new Map<string, string[]>()
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== 'string') throw damaged(path)
    if (!isPlainName(file))
      throw weightError(path, `names the file ${quoted(file)}, which is not in its own folder; download it again.`)
    const names = files.get(file)
    if (names) names.push(name)
    else files.set(file, [name])
    if (files.size > MOST_SHARDS) throw damaged(path)
  }
  return files
}

/** Of one file in the same folder, on every system: no folder, no drive or stream of Windows, no device. */
function isPlainName(name: string): boolean {
  return /^\w[\w.-]*\.(?:safetensors|bin|pt)$/.test(name)
}

function parse(path: string): unknown {
  const text = withFile(path, (file) => {
    if (file.size > LONGEST_INDEX) throw damaged(path)
    return file.read(0, file.size).toString('utf8')
  })
  try {
    return JSON.parse(text)
  } catch (error) {
    throw damaged(path, error)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function damaged(path: string, cause?: unknown) {
  return weightError(path, 'is no index of shards (a `weight_map` of names and files); download it again.', cause)
}
