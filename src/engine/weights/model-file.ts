/** A model's file, and the training config that people keep beside it under the same name. */

import { existsSync } from 'node:fs'
import { withFile } from './byte-file.ts'
import type { WeightFile } from './tensor-map.ts'
import { openWeightFile } from './weight-file.ts'

export interface ModelFile extends WeightFile {
  /** The text of `model.yaml` beside `model.safetensors`. */
  readonly originalConfig?: string
}

/** Such a config has about a hundred lines. */
const LONGEST_CONFIG = 2 ** 16

/** @throws EngineError 'model' when it is no file of weights, or a damaged one. */
export function openModelFile(path: string): ModelFile {
  const file = openWeightFile(path)
  const beside = path.replace(/\.\w+$/, '.yaml')
  if (beside === path || !existsSync(beside)) return file
  const originalConfig = withFile(beside, ({ size, read }) => read(0, Math.min(size, LONGEST_CONFIG)).toString('utf8'))
  return { ...file, originalConfig }
}
