/** What a graph's weights are made of, which its inputs and outputs need not show. */

import { isCastToFloat } from './find-attention.ts'
import type { OnnxGraph } from './onnx-file.ts'
import { DataType } from './onnx-schema.ts'

/**
 * Whether more of the weights that it computes with are half precision than float32: half ones that are widened first do not
 * count, nor do tables that it only looks up in.
 */
export function hasHalfWeights({ nodes, initializers }: OnnxGraph): boolean {
  const widened = nodes.filter((node) => node.opType === 'Gather' || isCastToFloat(node)).map(({ input }) => input[0])
  const uncounted = new Set(widened)
  let balance = 0
  for (const { tensor } of initializers) {
    if (uncounted.has(tensor.name)) continue
    const numbers = tensor.dims.reduce((product, dim) => product * Number(dim), 1)
    if (tensor.dataType === DataType.FLOAT16) balance += numbers
    if (tensor.dataType === DataType.FLOAT) balance -= numbers
  }
  return balance > 0
}
