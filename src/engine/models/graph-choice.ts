/** Which of a part's graph files to take: exports mark their precision in the file's name. */

/** 'auto' takes half precision where the device is a GPU and the model has it, else the file without a mark. */
export type Dtype = 'auto' | 'fp32' | 'fp16'

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
  const half = names.find(isHalf)
  const full = names.find((name) => name === 'model.onnx') ?? names.find((name) => !isHalf(name))
  const wantsHalf = dtype === 'fp16' || (dtype === 'auto' && onGpu)
  if (half !== undefined && (wantsHalf || (full === undefined && dtype === 'auto')))
    return full === undefined ? { name: half } : { name: half, fp32Name: full }
  return full === undefined ? undefined : { name: full }
}

/** `model_fp16.onnx`, `model.fp16.onnx`. */
function isHalf(name: string): boolean {
  return /(?:fp|float)16/i.test(name)
}
