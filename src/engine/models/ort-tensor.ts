/** Between the engine's plain float32 and ONNX Runtime's tensors of every type that exports have. */

import { Tensor as OrtTensor } from 'onnxruntime-node'
import { fromFloat16, toFloat16 } from '../float16.ts'
import type { Tensor } from '../tensor.ts'

/** Ids, flags and timesteps are given as numbers; they become what the input wants. */
export type Feed = { readonly data: Float32Array | readonly number[]; readonly dims: readonly number[] }

/**
 * @param halfBuffer Memory for so many half-precision numbers, which may be the last call's.
 * @returns Nothing for a type that no pipeline has. The memory of float32 data is shared.
 */
export function toOrt(
  type: OrtTensor.Type,
  { data, dims }: Feed,
  halfBuffer: (length: number) => Uint16Array,
): OrtTensor | undefined {
  switch (type) {
    case 'float32':
      return new OrtTensor('float32', singles(data), dims)
    case 'float16':
      return halfTensor(toFloat16(singles(data), halfBuffer(data.length)), dims)
    case 'float64':
      return new OrtTensor('float64', Float64Array.from(data), dims)
    case 'int64':
      return new OrtTensor('int64', int64s(data), dims)
    case 'int32':
      return new OrtTensor('int32', Int32Array.from(data, whole), dims)
    default:
      return undefined
  }
}

export function fromOrt({ type, data, dims }: OrtTensor): Tensor {
  if (data instanceof Float32Array) return { data, dims }
  if (type === 'float16') return { data: fromFloat16(bitsOf(data as unknown as Uint16Array)), dims }
  return { data: Float32Array.from(data as ArrayLike<number | bigint>, Number), dims }
}

/** Graphs of whole timesteps get fractional ones cut, as optimum casts them; one that is whole but for rounding stays. */
function whole(n: number): number {
  return Math.trunc(n + 1e-3)
}

function int64s(data: Float32Array | readonly number[]): BigInt64Array {
  const out = new BigInt64Array(data.length)
  for (let i = 0; i < data.length; i++) out[i] = BigInt(whole(data[i]!))
  return out
}

function singles(data: Float32Array | readonly number[]): Float32Array {
  return data instanceof Float32Array ? data : new Float32Array(data)
}

/** `new Tensor('float16', …)` refuses a Uint16Array where Float16Array is global (Node 23 and later); this works on all. */
function halfTensor(data: Uint16Array, dims: readonly number[]): OrtTensor {
  return { type: 'float16', dims, data, location: 'cpu' } as unknown as OrtTensor
}

/** Half precision comes as Uint16Array from Node 20's binding and as Float16Array where that is global. */
function bitsOf({ buffer, byteOffset, length }: Uint16Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length)
}
