/** The numbers of one small tensor; large ones stay in their files. */

import { fromBfloat16, fromFloat16 } from '../models/float16.ts'
import { withFile } from './byte-file.ts'
import type { StoredTensor } from './stored-tensor.ts'

/** @returns Nothing for types that are no floating point numbers. @throws EngineError 'model' when the file cannot be read. */
export function readFloats({ path, dtype, offset, length }: StoredTensor): Float32Array | undefined {
  const bytes = withFile(path, (file) => Uint8Array.from(file.read(offset, offset + length)))
  if (dtype === 'F32') return new Float32Array(bytes.buffer)
  if (dtype === 'F64') return Float32Array.from(new Float64Array(bytes.buffer))
  if (dtype === 'F16') return fromFloat16(new Uint16Array(bytes.buffer))
  return dtype === 'BF16' ? fromBfloat16(new Uint16Array(bytes.buffer)) : undefined
}
