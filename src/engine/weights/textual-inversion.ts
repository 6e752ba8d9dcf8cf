/** Reads a textual inversion (Gal et al. 2022, arXiv:2208.01618): vectors that stand for a new word in a text encoder. */

import { basename, extname } from 'node:path'
import { allFinite } from '../tensor.ts'
import { example } from './lora-file.ts'
import { readFloats } from './read-floats.ts'
import type { StoredTensor } from './stored-tensor.ts'
import type { WeightFile } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'

/** What a file adds to one text encoder: a row a vector. */
export interface AddedVectors {
  readonly width: number
  /** [count, width] */
  readonly data: Float32Array
}

export interface TextualInversion {
  /** What its file calls it; where that says nothing, the file's own name. */
  readonly token: string
  /** SDXL's files have some for each of its text encoders, the first one's first; others have one. */
  readonly vectors: readonly AddedVectors[]
}

/** kohya's and A1111's keys of SDXL's files, in its text encoders' order. */
const SDXL_KEYS = ['clip_l', 'clip_g']

/** Where A1111's training puts the vectors; its .safetensors files have `emb_params`, which is no name of a token. */
const STRING_TO_PARAM = 'string_to_param.'
const EMB_PARAMS = 'emb_params'

/** @throws EngineError 'model' where it is none, or damaged. */
export function readTextualInversion({ weights, metadata }: WeightFile, path: string): TextualInversion {
  const names = [...weights.names()]
  const fileName = basename(path, extname(path))
  const vectors = (name: string) => readVectors(name, weights.get(name)!, path)
  if (names.length > 0 && names.every((name) => SDXL_KEYS.includes(name)))
    return { token: fileName, vectors: SDXL_KEYS.filter((key) => names.includes(key)).map(vectors) }
  const [trained, ...others] = names.filter((name) => name.startsWith(STRING_TO_PARAM))
  if (trained !== undefined && others.length === 0)
    return { token: metadata.get('name') || fileName, vectors: [vectors(trained)] }
  const [only, ...more] = names
  if (only !== undefined && more.length === 0)
    return { token: only === EMB_PARAMS ? fileName : only, vectors: [vectors(only)] }
  throw weightError(path, `is no textual inversion${example(names)}; give another file.`)
}

/** As many as CLIP reads at once. */
const MOST_VECTORS = 75

function readVectors(name: string, tensor: StoredTensor, path: string): AddedVectors {
  const { shape } = tensor
  const [count, width] = shape.length === 1 ? [1, shape[0]!] : (shape as [number, number])
  if (shape.length > 2 || !(count > 0 && count <= MOST_VECTORS && width > 0))
    throw weightError(
      path,
      `is no textual inversion: its ${quoted(name)} has the shape [${shape.join(', ')}]; give another file.`,
    )
  const data = readFloats(tensor)
  if (!data) throw weightError(path, `holds ${tensor.dtype} numbers; use the embedding in float32 or half precision.`)
  if (!allFinite(data)) throw weightError(path, `is damaged: ${quoted(name)} holds NaN or infinity; download it again.`)
  return { width, data }
}
