/** A tensor that lies in a file: what it is made of and where its bytes are. Nothing here reads them. */

/** Number types as safetensors names them (https://github.com/huggingface/safetensors#format). */
export type StoredType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U8'
  | 'BOOL'

/** Bytes of one number. */
export const TYPE_WIDTH: Readonly<Record<StoredType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
}

/** A dense tensor in a file; `length` is the product of `shape` times the type's width. */
export interface StoredTensor {
  /** Absolute, links in it not resolved. */
  readonly path: string
  readonly dtype: StoredType
  readonly shape: readonly number[]
  /** Of the first byte in the file. */
  readonly offset: number
  /** In bytes. */
  readonly length: number
  /** The bytes are of the matrix with its two axes swapped: `shape` is [out, in], the file holds [in, out]. */
  readonly transposed?: boolean
}

/** A part's weights by the names that diffusers and transformers give them. */
export interface Weights {
  /** Nothing where the part has no such weight. */
  get(name: string): StoredTensor | undefined
  names(): Iterable<string>
}
