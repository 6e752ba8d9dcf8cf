/** Gives a UNet's file with its attention in a cheaper form: same inputs, same outputs, less memory. */

import { EngineError } from '../errors.ts'
import type { OnnxGraph } from './onnx-file.ts'
import { rewriteBeside } from './rewrite-beside.ts'
import { type AttentionForm, writeAttention } from './write-attention.ts'

/** The first with all operators: for slices also a whole-number Min. */
const LEAST_OPSET = { fused: 11, sliced: 12 }

/** To be raised when other nodes are written: what an older version of this program left beside a model is not taken. */
const REVISION = 2

/** What exports that were optimised for a device have for attention. */
const FUSED = new Set(['MultiHeadAttention', 'Attention', 'GroupQueryAttention'])

/**
 * The path of the rewritten graph, see `rewriteBeside`. A model whose attention is fused already is its own fused form.
 * @throws EngineError `model` where the file is broken, holds no attention, or its folder cannot be written to
 */
export function rewriteAttention(modelPath: string, form: AttentionForm): Promise<string> {
  return rewriteBeside(modelPath, `attention-${form}.${REVISION}`, (graph) => {
    requireOpset(graph, form, modelPath)
    if (writeAttention(graph, form) > 0) return graph
    if (form === 'fused' && graph.nodes.some(({ opType }) => FUSED.has(opType))) return undefined
    throw new EngineError(
      'model',
      `${modelPath} holds no attention that can be rewritten; use it without attention slicing.`,
    )
  })
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
