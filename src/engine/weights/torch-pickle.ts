/**
 * The names that PyTorch's checkpoints hold, and what each means here: tensors, maps, or an object of no use. The list is
 * torch's own (torch/_weights_only_unpickler.py) and what training programs leave beside the weights.
 */

import { PickleError, type PickleReader } from './pickle.ts'
import { type PickleValue, PyGlobal, PyObject, PyTuple, TorchStorage, TorchTensor } from './pickle-values.ts'

/** A name that a pickle wants called and that is not known: it may be anything. */
export class UnknownCallError extends Error {
  /** `module.name`. */
  readonly callee: string

  constructor(callee: string) {
    super(`calls ${callee}`)
    this.callee = callee
  }
}

export const torchPickleReader: PickleReader = { call, persistent }

function call(name: string, args: readonly PickleValue[]): PickleValue {
  const known = CALLS.get(name)
  if (known) return known(args)
  if (isHarmless(name)) return new PyObject(name)
  throw new UnknownCallError(name)
}

const CALLS: ReadonlyMap<string, (args: readonly PickleValue[]) => PickleValue> = new Map([
  ['collections.OrderedDict', ([items]) => mapOf(items)],
  ['typing.OrderedDict', ([items]) => mapOf(items)],
  ['builtins.dict', ([items]) => mapOf(items)],
  ['__builtin__.dict', ([items]) => mapOf(items)],
  ['collections.Counter', ([items]) => mapOf(items)],
  ['collections.defaultdict', ([, items]) => mapOf(items)],
  ['torch.Size', ([items]) => new PyTuple(itemsOf(items))],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_tensor_v3', (args) => rebuildTensor(args, dtypeOf(args[6]))],
  ['torch._utils._rebuild_parameter', ([data]) => tensorOf(data)],
  ['torch._utils._rebuild_parameter_with_state', ([data]) => tensorOf(data)],
  ['torch._tensor._rebuild_from_type', rebuildFromType],
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['copyreg._reconstructor', reconstruct],
  ['copy_reg._reconstructor', reconstruct],
])

/** Classes of plain data, and those of programs that train: nothing of them is run, and nothing of them is used. */
const HARMLESS = new Set([
  ...[
    'set',
    'frozenset',
    'list',
    'tuple',
    'int',
    'float',
    'complex',
    'bool',
    'str',
    'bytes',
    'bytearray',
    'slice',
    'range',
  ].flatMap((name) => [`builtins.${name}`, `__builtin__.${name}`]),
  ...['builtins.object', '__builtin__.object', '__builtin__.unicode', '__builtin__.long', '__builtin__.xrange'],
  '_codecs.encode',
  'argparse.Namespace',
  'collections.deque',
  'datetime.date',
  'datetime.datetime',
  'datetime.timedelta',
  'pathlib.Path',
  'pathlib.PosixPath',
  'pathlib.PurePosixPath',
  'pathlib.WindowsPath',
  'pathlib.PureWindowsPath',
  'types.SimpleNamespace',
  'uuid.UUID',
  'diffusers.configuration_utils.FrozenDict',
  'torch.device',
  'torch.serialization._get_layout',
  'torch.nn.modules.container.ParameterDict',
  'torch.nn.modules.container.ParameterList',
  ...['numpy.core', 'numpy._core'].flatMap((core) => [
    `${core}.multiarray.scalar`,
    `${core}.multiarray._reconstruct`,
    `${core}.numeric._frombuffer`,
  ]),
  'numpy.dtype',
  'numpy.ndarray',
])

/** CompVis' own checkpoints name `pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint`. */
const HARMLESS_PACKAGES =
  /^(?:pytorch_lightning|lightning|lightning_fabric|lightning_utilities|omegaconf)\.|^numpy\.dtypes\./

function isHarmless(name: string): boolean {
  return HARMLESS.has(name) || HARMLESS_PACKAGES.test(name)
}

/** `(cls, base, state)`: an object of a class that says nothing of its pickling. */
function reconstruct([cls]: readonly PickleValue[]): PickleValue {
  const name = cls instanceof PyGlobal ? cls.name : 'something without a name'
  if (!isHarmless(name)) throw new UnknownCallError(name)
  return new PyObject(name)
}

/** torch allows no more. */
const HIGHEST_RANK = 64

/** `(storage, storage_offset, size, stride, …)` */
function rebuildTensor(args: readonly PickleValue[], dtype?: string): TorchTensor {
  const [storage, offset, size, stride] = args
  if ([size, stride].some((list) => itemsOf(list).length > HIGHEST_RANK)) throw badTensor()
  const shape = itemsOf(size).map(wholeNumber)
  const strides = itemsOf(stride).map(wholeNumber)
  if (!(storage instanceof TorchStorage) || shape.length !== strides.length) throw badTensor()
  const own = dtype ?? storage.dtype
  if (own === undefined) throw badTensor()
  return new TorchTensor(storage, own, { offset: wholeNumber(offset), shape, strides })
}

/** `(func, type, args, state)`: a tensor that carries attributes of Python. */
function rebuildFromType([func, type, args]: readonly PickleValue[]): PickleValue {
  if (!(func instanceof PyGlobal) || !(type instanceof PyGlobal)) throw badTensor()
  if (!/^torch\.(?:Tensor|nn\.parameter\.(?:Parameter|Buffer))$/.test(type.name)) throw new UnknownCallError(type.name)
  if (!func.name.startsWith('torch._utils._rebuild_')) throw new UnknownCallError(func.name)
  return call(func.name, itemsOf(args))
}

/** `('storage', torch.HalfStorage, '17', 'cpu', 1000)` */
function persistent(id: PickleValue): TorchStorage {
  const [kind, type, key] = id instanceof PyTuple ? id.items : []
  if (kind !== 'storage' || !(type instanceof PyGlobal) || typeof key !== 'string')
    throw new PickleError('points to something that is no storage of a tensor')
  const [, name] = /^torch\.(?:cuda\.|storage\.)?(\w+)Storage$/.exec(type.name) ?? []
  if (name === undefined) throw new UnknownCallError(type.name)
  return new TorchStorage(name === 'Untyped' ? undefined : (STORAGES[name] ?? name), key)
}

/** torch's types by the names of its storages; another one keeps its name, which is then refused with the tensor's. */
const STORAGES: Readonly<Record<string, string>> = {
  Double: 'float64',
  Float: 'float32',
  Half: 'float16',
  BFloat16: 'bfloat16',
  Long: 'int64',
  Int: 'int32',
  Short: 'int16',
  Char: 'int8',
  Byte: 'uint8',
  Bool: 'bool',
}

function dtypeOf(value: PickleValue | undefined): string {
  if (!(value instanceof PyGlobal)) throw badTensor()
  return value.name.replace(/^torch\./, '')
}

function tensorOf(value: PickleValue | undefined): TorchTensor {
  if (value instanceof TorchTensor) return value
  throw badTensor()
}

function wholeNumber(value: PickleValue | undefined): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw badTensor()
}

function mapOf(value: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (value === undefined) return new Map()
  if (value instanceof Map) return new Map(value)
  return new Map(
    itemsOf(value).map((item) => {
      const [key, of] = itemsOf(item)
      if (key === undefined || of === undefined) throw new PickleError('has a key without a value')
      return [key, of] as const
    }),
  )
}

function itemsOf(value: PickleValue | undefined): readonly PickleValue[] {
  if (value instanceof PyTuple) return value.items
  if (Array.isArray(value)) return value
  throw new PickleError('has something else where a list should be')
}

function badTensor(): PickleError {
  return new PickleError('describes a tensor wrongly')
}
