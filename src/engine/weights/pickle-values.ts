/** What a pickle holds, as values that do nothing. */

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | PyTuple
  | PyGlobal
  | PyObject
  | TorchStorage
  | TorchTensor

export class PyTuple {
  readonly items: readonly PickleValue[]

  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

/** The name of a class or a function of Python. Nothing is behind it. */
export class PyGlobal {
  /** `module.name`. */
  readonly name: string

  constructor(module: string, name: string) {
    this.name = `${module}.${name}`
  }
}

/** An object of a class that is known to be harmless and of no use here. */
export class PyObject {
  readonly className: string
  state: PickleValue = null

  constructor(className: string) {
    this.className = className
  }
}

/** Numbers that lie in another entry of the archive. */
export class TorchStorage {
  /** As torch names it: `float32`; nothing where the tensors on it say. */
  readonly dtype: string | undefined
  readonly key: string

  constructor(dtype: string | undefined, key: string) {
    this.dtype = dtype
    this.key = key
  }
}

/** A view of a storage: all in numbers of the tensor's type, not in bytes. */
export class TorchTensor {
  readonly storage: TorchStorage
  readonly dtype: string
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]

  constructor(
    storage: TorchStorage,
    dtype: string,
    { offset, shape, strides }: Pick<TorchTensor, 'offset' | 'shape' | 'strides'>,
  ) {
    this.storage = storage
    this.dtype = dtype
    this.offset = offset
    this.shape = shape
    this.strides = strides
  }
}
