/** The numbers of one small tensor; large ones stay in their files. */

import { fromBfloat16, fromFloat16 } from '../float16.ts'
import { withFile } from './byte-file.ts'
import type { StoredTensor } from './stored-tensor.ts'

/**
 * Row after row, also where the file holds columns.
 * @returns Nothing for types that hold no such numbers. @throws EngineError 'model' when the file cannot be read.
 */
export function readFloats(tensor: StoredTensor): Float32Array | undefined {
  const { path, dtype, offset, length, shape, transposed } = tensor
  const { buffer } = withFile(path, (file) => Uint8Array.from(file.read(offset, offset + length)))
  const numbers = decode(dtype, buffer)
  return numbers && transposed ? rowsFirst(numbers, shape) : numbers
}

function decode(dtype: StoredTensor['dtype'], buffer: ArrayBuffer): Float32Array | undefined {
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer)
    case 'F64':
      return Float32Array.from(new Float64Array(buffer))
    case 'F16':
      return fromFloat16(new Uint16Array(buffer))
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer))
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer), Number)
    case 'I32':
      return Float32Array.from(new Int32Array(buffer))
    default:
      return undefined
  }
}

function rowsFirst(columns: Float32Array, [rows = 1, width = 1]: readonly number[]): Float32Array {
  const out = new Float32Array(columns.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < width; column++) out[row * width + column] = columns[column * rows + row]!
  return out
}
