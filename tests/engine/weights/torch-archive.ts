/** A file as torch.save writes it, from numbers: a pickle of protocol 2 and one entry for each tensor. */

import { bytesOf, type Dtype, type TinyTensors } from '../tiny-checkpoint.ts'
import { zipOf } from './stored.ts'

const STORAGES: Partial<Record<Dtype, string>> = { F32: 'FloatStorage', F16: 'HalfStorage', BF16: 'BFloat16Storage' }

export function torchArchive(tensors: TinyTensors): Buffer {
  const entries: Record<string, Buffer> = {}
  const items = [...tensors].map(([name, { shape, data, dtype = 'F32' }], key) => {
    entries[`archive/data/${key}`] = Buffer.from(bytesOf(data, dtype))
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
    const storage = `(${text('storage')}ctorch\n${STORAGES[dtype]}\n${text(String(key))}${text('cpu')}${int(data.length)}tQ`
    const args = `(${storage}${int(0)}${tuple(shape)}${tuple(strides)}\x89ccollections\nOrderedDict\n)Rt`
    return `${text(name)}ctorch._utils\n_rebuild_tensor_v2\n${args}R`
  })
  const pickle = Buffer.from(`\x80\x02}(${items.join('')}u.`, 'latin1')
  return zipOf({ 'archive/data.pkl': pickle, 'archive/byteorder': Buffer.from('little'), ...entries })
}

function text(value: string): string {
  return `X${bytes(value.length)}${value}`
}

function int(value: number): string {
  return `J${bytes(value)}`
}

function tuple(values: readonly number[]): string {
  return `(${values.map(int).join('')}t`
}

function bytes(value: number): string {
  const four = Buffer.alloc(4)
  four.writeInt32LE(value)
  return four.toString('latin1')
}
