/** Gives a UNet's file with its attention in a cheaper form: same inputs, same outputs, less memory. */

import { randomUUID } from 'node:crypto'
import { existsSync, realpathSync } from 'node:fs'
import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { EngineError } from '../errors.ts'
import { type OnnxGraph, readOnnx, writeOnnx } from './onnx-file.ts'
import type { TensorProto } from './onnx-schema.ts'
import { type AttentionForm, writeAttention } from './write-attention.ts'

/** The first with all operators: for slices also a whole-number Min. */
const LEAST_OPSET = { fused: 11, sliced: 12 }

/** To be raised when other nodes are written: what an older version of this program left beside a model is not taken. */
const REVISION = 2

/** What exports that were optimised for a device have for attention. */
const FUSED = new Set(['MultiHeadAttention', 'Attention', 'GroupQueryAttention'])

/**
 * Writes the rewritten graph beside the model, once, and gives its path. It points to the original's weights, wherever
 * they lie, so it is small; its name holds the original's size and time, so that it never outlives them, and begins with
 * a dot, since it is no part of the model. A model whose attention is fused already is its own fused form.
 * @throws EngineError `model` where the file is broken, holds no attention, or its folder cannot be written to
 */
export async function rewriteAttention(modelPath: string, form: AttentionForm): Promise<string> {
  // The hub's cache keeps files behind links, and ONNX Runtime reads weights only from the real graph's folder.
  const real = await realpath(modelPath)
  const { size, mtimeMs } = await stat(real)
  const version = `${size.toString(36)}-${Math.round(mtimeMs).toString(36)}`
  const path = join(dirname(real), `.${basename(real, '.onnx')}.attention-${form}.${REVISION}.${version}.onnx`)
  if (existsSync(path)) return path
  const graph = readOnnx(real)
  requireOpset(graph, form, modelPath)
  if (writeAttention(graph, form) === 0) {
    if (form === 'fused' && graph.nodes.some(({ opType }) => FUSED.has(opType))) return modelPath
    throw new EngineError(
      'model',
      `${modelPath} holds no attention that can be rewritten; use it without attention slicing.`,
    )
  }
  for (const { tensor } of graph.initializers) relocate(tensor, dirname(modelPath), dirname(real))
  await write(path, writeOnnx(graph, basename(real)))
  return path
}

function requireOpset({ opsets }: OnnxGraph, form: AttentionForm, modelPath: string): void {
  const opset = opsets.find(({ domain }) => !domain)?.version ?? 0
  const least = LEAST_OPSET[form === 'fused' ? 'fused' : 'sliced']
  if (opset >= least) return
  throw new EngineError(
    'model',
    `${modelPath} uses opset ${opset}; export it again with opset ${least} or newer to rewrite its attention.`,
  )
}

function relocate({ externalData }: TensorProto, from: string, to: string): void {
  const location = externalData?.find(({ key }) => key === 'location')
  if (location) location.value = relative(to, realpathSync(join(from, location.value))).replaceAll('\\', '/')
}

/** Whole or not at all, since another pipeline or process may be looking for it, or writing it too. */
async function write(path: string, bytes: Uint8Array): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`
  try {
    await writeFile(unfinished, bytes)
    await rename(unfinished, path)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw new EngineError(
      'model',
      `Rewritten attention is kept beside the model, and ${dirname(path)} cannot be written to; make it writable.`,
      {
        cause: error,
      },
    )
  }
}
