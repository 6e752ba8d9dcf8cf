/** The engine's plain data between ONNX Runtime, schedulers and images: a dense row-major float32 array with its shape. */

/** `data.length` is the product of `dims`; latents are `[batch, channels, height / 8, width / 8]`, images NCHW or NHWC as named. */
export interface Tensor {
  readonly data: Float32Array
  readonly dims: readonly number[]
}
