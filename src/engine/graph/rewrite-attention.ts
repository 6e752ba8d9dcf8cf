/** Gives a UNet's file with its attention in a cheaper form: same inputs, same outputs, less memory. */

import { rename, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { EngineError } from '../errors.ts'
import { readOnnx, writeOnnx } from './onnx-file.ts'
import { type AttentionForm, writeAttention } from './write-attention.ts'

/** Operators with the slices' sizes as inputs, and whole-number Min. */
const LEAST_OPSET = 13

/**
 * Writes the rewritten graph beside the model, once, and gives its path. It points to the original's weights, wherever
 * they lie, so it is small; its name holds the original's size and time, so that it never outlives them.
 * @throws EngineError `model` where the file is broken, has no attention that is understood, or its folder is read-only
 */
export async function rewriteAttention(modelPath: string, form: AttentionForm): Promise<string> {
  const { size, mtimeMs } = await stat(modelPath)
  const version = `${size.toString(36)}-${Math.round(mtimeMs).toString(36)}`
  const path = join(dirname(modelPath), `${basename(modelPath, '.onnx')}.attention-${form}.${version}.onnx`)
  if (await exists(path)) return path
  const graph = readOnnx(modelPath)
  const opset = graph.opsets.find(({ domain }) => !domain)?.version ?? 0
  if (opset < LEAST_OPSET) {
    throw new EngineError(
      'model',
      `${modelPath} uses opset ${opset}; export it again with opset ${LEAST_OPSET} or newer to slice its attention.`,
    )
  }
  if (writeAttention(graph, form) === 0) {
    throw new EngineError(
      'model',
      `${modelPath} holds no attention that can be rewritten; use it without attention slicing.`,
    )
  }
  const unfinished = `${path}.${process.pid}`
  await writeFile(unfinished, writeOnnx(graph, basename(modelPath)))
  await rename(unfinished, path)
  return path
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
