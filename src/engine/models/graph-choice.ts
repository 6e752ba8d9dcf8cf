/** Which of a part's graph files to take: exports mark their precision in the file's name. */

import { EngineError } from '../errors.ts'

/**
 * The precision that a model computes in: what diffusers' `torch_dtype` is, with names that are shorter.
 * - `auto` (default): half precision on a GPU where the model has it or its weights can be cast to it, float32 on the CPU.
 * - `fp32`: `torch_dtype=torch.float32`.
 * - `fp16`: `torch_dtype=torch.float16`. On the CPU half weights become float32 when they are loaded, since it computes in
 *   nothing less; SDXL's VAE stays float32 everywhere, as its `force_upcast` asks.
 * - `int8`, on the CPU alone: the UNet's linears and convolutions multiply eight-bit whole numbers. Weights have one scale an
 *   output channel; activations are quantised by their range in each run, so nothing is calibrated and a picture never
 *   depends on those drawn beside it. Time embeddings, the first and the last convolution, norms and attention itself, the
 *   text encoders and the VAE stay float32. A step takes about
 *   half of the time, and the UNet about a third of the memory; how much depends on size and processor. The pictures are near
 *   those in float32 and not the same. Models whose activations have outliers may lose more, which was not measured; nor was
 *   the time on processors without VNNI.
 *
 * There is no `autocast`: it casts operator by operator while a model runs, and here precision is decided once, when the
 * graph is opened. What it protects (norms, softmax, the VAE) is kept in float32 by the graphs themselves. bfloat16 files are
 * read, and computed in float32 or fp16.
 */
export type Dtype = 'auto' | 'fp32' | 'fp16' | 'int8'

export const DTYPES: readonly Dtype[] = ['auto', 'fp32', 'fp16', 'int8']

/** @throws EngineError 'argument' unless `dtype` is one of the names here, and there is something that `device` computes in it. */
export function requireDtype(dtype: string, device = 'auto'): Dtype {
  const known = DTYPES.find((name) => name === dtype)
  if (!known) throw new EngineError('argument', `There is no dtype "${dtype}"; choose one of ${DTYPES.join(', ')}.`)
  if (known === 'int8' && device !== 'auto' && device !== 'cpu')
    throw new EngineError(
      'argument',
      `dtype 'int8' runs on the CPU alone; use it with device 'cpu', or dtype 'fp16' with device '${device}'.`,
    )
  return known
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
