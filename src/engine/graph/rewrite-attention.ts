/** Attention in a cheaper form: same inputs, same outputs, less memory. */

import { EngineError } from '../errors.ts'
import type { Rewrite } from './graph-source.ts'
import type { OnnxGraph } from './onnx-file.ts'
import { type AttentionForm, writeAttention } from './write-attention.ts'

/** The first with all operators: for slices also a whole-number Min. */
const LEAST_OPSET = { fused: 11, sliced: 12 }

/** What exports that were optimised for a device have for attention. */
const FUSED = new Set(['MultiHeadAttention', 'Attention', 'GroupQueryAttention'])

/**
 * A graph whose attention is fused already is its own fused form.
 * @throws EngineError `model`, when applied to a graph that holds no attention, or of an opset that is too old
 */
export function rewriteAttention(form: AttentionForm): Rewrite {
  return {
    apply(graph, path) {
      requireOpset(graph, form, path)
      const isFused = form === 'fused' && graph.nodes.some(({ opType }) => FUSED.has(opType))
      if (writeAttention(graph, form) > 0 || isFused) return graph
      throw new EngineError(
        'model',
        `${path} holds no attention that can be rewritten; use it without attention slicing.`,
      )
    },
  }
}

function requireOpset({ opsets }: OnnxGraph, form: AttentionForm, path: string): void {
  const opset = opsets.find(({ domain }) => !domain)?.version ?? 0
  const least = LEAST_OPSET[form === 'fused' ? 'fused' : 'sliced']
  if (opset >= least) return
  throw new EngineError(
    'model',
    `${path} uses opset ${opset}; export it again with opset ${least} or newer to rewrite its attention.`,
  )
}
