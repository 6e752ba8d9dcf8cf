/** PyTorch's own files in their zip form. */

import type { WeightFile } from './tensor-map.ts'
import { weightError } from './weight-error.ts'

export function isZip(head: Buffer): boolean {
  return head.toString('latin1', 0, 2) === 'PK' && ['0304', '0506', '0708'].includes(head.toString('hex', 2, 4))
}

/** @throws EngineError 'model' */
export function readTorchFile(path: string): WeightFile {
  throw weightError(path, 'is a file of PyTorch; save it as safetensors.')
}
