/** Which of a part's graph files to take: exports mark their precision in the file's name. */

import { EngineError } from '../errors.ts'

/** 'auto' takes half precision where the device is a GPU and the model has it, else the file without a mark. */
export type Dtype = 'auto' | 'fp32' | 'fp16'

const DTYPES: readonly Dtype[] = ['auto', 'fp32', 'fp16']

/** @throws EngineError 'argument' unless `dtype` is one of the names here. */
export function requireDtype(dtype: string): Dtype {
  const known = DTYPES.find((name) => name === dtype)
  if (known) return known
  throw new EngineError('argument', `There is no dtype "${dtype}"; choose one of ${DTYPES.join(', ')}.`)
}

export interface GraphChoice {
  readonly name: string
  /** The same part in float32, where `name` is half precision and both are there. */
  readonly fp32Name?: string
}

/**
 * @param names The part's `.onnx` files.
 * @param onGpu Whether 'auto' prefers half precision.
 * @returns Nothing where no file is there, or 'fp32' is wanted and all are half precision.
 */
export function chooseGraph(names: readonly string[], dtype: Dtype, onGpu: boolean): GraphChoice | undefined {
  const half = names.find((name) => HALF.test(name))
  const single = names.find((name) => SINGLE.test(name))
  const plain =
    names.find((name) => name === 'model.onnx') ?? names.find((name) => !HALF.test(name) && !SINGLE.test(name))
  const wantsHalf = dtype === 'fp16' || (dtype === 'auto' && onGpu)
  // A file without a mark may be of either precision.
  const byPreference = wantsHalf ? [half, plain, single] : dtype === 'fp32' ? [single, plain] : [plain, single, half]
  const name = byPreference.find((one) => one !== undefined)
  if (name === undefined) return undefined
  const fp32Name = [single, plain].find((one) => one !== undefined && one !== name)
  return fp32Name === undefined || name === single ? { name } : { name, fp32Name }
}

/** `model_fp16.onnx`, `model.fp16.onnx`. */
const HALF = /(?:fp|float)16/i
const SINGLE = /(?:fp|float)32/i
