/** How much memory a graph's weights take once a session holds them. */

import type { OnnxGraph } from './onnx-file.ts'
import { DataType } from './onnx-schema.ts'
import { countOf } from './weight-values.ts'

/** The CPU computes in float32, and keeps half-precision weights so; other types stay as they are. */
const WIDTH: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.FLOAT16]: 4,
  [DataType.BFLOAT16]: 4,
  [DataType.DOUBLE]: 8,
  [DataType.INT64]: 8,
  [DataType.INT32]: 4,
}

/** In bytes. */
export function weightBytes({ initializers }: OnnxGraph): number {
  return initializers.reduce((sum, one) => sum + countOf(one) * (WIDTH[one.tensor.dataType] ?? 1), 0)
}
