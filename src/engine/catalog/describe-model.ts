/** What a model is, for people: its family, how many numbers it has, of which type, in how many bytes. Nothing is opened to run. */

import { statSync } from 'node:fs'
import type { Task } from '../families/family.ts'
import { familyOf } from '../families/family-of.ts'
import { DataType } from '../graph/onnx-schema.ts'
import { openSource } from '../pipelines/open-model.ts'
import type { GraphPart } from '../pipelines/pipeline-source.ts'
import { describeFile } from '../weights/describe-file.ts'
import type { StoredType } from '../weights/stored-tensor.ts'

export interface ModelDescription {
  /** For people: 'Stable Diffusion XL for inpainting', 'a LoRA'. */
  readonly title: string
  /** Numbers in all its tensors. */
  readonly parameters: number
  /** The one with the most numbers first: 'fp16'. */
  readonly dtypes: readonly string[]
  /** Of its files. */
  readonly bytes: number
  /** The files that tell it from others; what its hash is made of. */
  readonly files: readonly string[]
  /** Parts that a model needs and the file does not hold: 'VAE', 'text encoder'. */
  readonly missing: readonly string[]
}

const STORED: Partial<Record<StoredType, string>> = {
  F64: 'fp64',
  F32: 'fp32',
  F16: 'fp16',
  BF16: 'bf16',
  F8_E4M3: 'fp8',
  F8_E5M2: 'fp8',
  I8: 'int8',
  U8: 'int8',
}

const GRAPH: Readonly<Record<number, string>> = {
  [DataType.DOUBLE]: 'fp64',
  [DataType.FLOAT]: 'fp32',
  [DataType.FLOAT16]: 'fp16',
  [DataType.BFLOAT16]: 'bf16',
  [DataType.INT8]: 'int8',
  [DataType.UINT8]: 'int8',
}

const TASKS: Readonly<Record<Task, string>> = {
  'text-to-image': '',
  'image-to-image': ' for image-to-image',
  inpaint: ' for inpainting',
}

const PARTS: readonly GraphPart[] = ['unet', 'vae_decoder', 'vae_encoder', 'text_encoder', 'text_encoder_2']

/** @param path A file of weights, or a pipeline's folder. @throws EngineError 'model' for what is neither, or damaged */
export async function describeModel(path: string): Promise<ModelDescription> {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? describeFolder(path) : describeOneFile(path)
}

function describeOneFile(path: string): ModelDescription {
  const { title, parameters, dtypes, missing } = describeFile(path)
  const known = dtypes.flatMap((dtype) => STORED[dtype] ?? [])
  return { title, parameters, dtypes: [...new Set(known)], bytes: statSync(path).size, files: [path], missing }
}

async function describeFolder(path: string): Promise<ModelDescription> {
  const source = await openSource(path)
  const { family, task } = familyOf(source.index)
  const counts = new Map<string, number>()
  for (const part of PARTS.filter((one) => source.has(one)))
    for (const { tensor } of source.graph(part, 'auto', 'cpu').read().initializers) {
      const dtype = GRAPH[tensor.dataType]
      const numbers = tensor.dims.reduce((product, dim) => product * dim, 1)
      if (dtype !== undefined) counts.set(dtype, (counts.get(dtype) ?? 0) + numbers)
    }
  const files = await source.weightFiles()
  return {
    title: `${family.singleFile.title((await source.config('unet')) ?? {})}${TASKS[task]}`,
    parameters: [...counts.values()].reduce((sum, count) => sum + count, 0),
    dtypes: [...counts].sort(([, a], [, b]) => b - a).map(([dtype]) => dtype),
    bytes: files.reduce((sum, file) => sum + statSync(file).size, 0),
    files,
    missing: [],
  }
}
