/** What a graph's weights are made of, which its inputs and outputs need not show. */

import type { OnnxGraph } from './onnx-file.ts'
import { DataType } from './onnx-schema.ts'

/** Whether more of the weights are half precision than float32. */
export function hasHalfWeights({ initializers }: OnnxGraph): boolean {
  let balance = 0
  for (const { tensor } of initializers) {
    const numbers = tensor.dims.reduce((product, dim) => product * Number(dim), 1)
    if (tensor.dataType === DataType.FLOAT16) balance += numbers
    if (tensor.dataType === DataType.FLOAT) balance -= numbers
  }
  return balance > 0
}
