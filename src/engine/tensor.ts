/** The engine's plain data between ONNX Runtime, schedulers and images: a dense row-major float32 array with its shape. */

/** `data.length` is the product of `dims`; latents are `[batch, channels, height / 8, width / 8]`, images NCHW or NHWC as named. */
export interface Tensor {
  readonly data: Float32Array
  readonly dims: readonly number[]
}

/** The batch's rows as tensors of their own, sharing its memory. */
export function rowsOf({ data, dims }: Tensor): Tensor[] {
  const [rows = 0, ...rest] = dims
  const size = data.length / rows
  return Array.from({ length: rows }, (_, i) => ({
    data: data.subarray(i * size, (i + 1) * size),
    dims: [1, ...rest],
  }))
}

/** Tensors of one shape but for their number of rows, one after another. */
export function concatRows(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0]!
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0))
  let offset = 0
  for (const part of parts) {
    data.set(part.data, offset)
    offset += part.data.length
  }
  return { data, dims: [parts.reduce((sum, part) => sum + part.dims[0]!, 0), ...parts[0]!.dims.slice(1)] }
}

/**
 * A double holds the sum of any number of float32: it is finite if all of them are. In four parts, since each addition waits
 * for the one before it.
 */
export function allFinite(data: Float32Array): boolean {
  const whole = data.length - (data.length % 4)
  let [a, b, c, d] = [0, 0, 0, 0]
  for (let i = 0; i < whole; i += 4) {
    a += data[i]!
    b += data[i + 1]!
    c += data[i + 2]!
    d += data[i + 3]!
  }
  for (let i = whole; i < data.length; i++) a += data[i]!
  return Number.isFinite(a + b + c + d)
}
