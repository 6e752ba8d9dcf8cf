import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openWeightFile } from '../../../src/engine/weights/weight-file.ts'
import { temporaryFolder } from '../tiny-pipeline.ts'
import { describeWeights, EXPECTED, WEIGHT_FIXTURES, zipOf } from './stored.ts'

const fixture = (name: string) => join(WEIGHT_FIXTURES, name)

describe('files of PyTorch', () => {
  it.each([
    'plain.bin',
    'protocol4.pt',
    'protocol5.pt',
    'lightning.ckpt',
    'embedding.pt',
    'embedding-parameter-dict.pt',
  ])("%s holds torch's tensors", (name) => {
    expect(describeWeights(openWeightFile(fixture(name)).weights)).toEqual(EXPECTED[name])
  })

  it('have the types that torch gave them', () => {
    const { weights } = openWeightFile(fixture('plain.bin'))
    for (const type of ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2', 'I64', 'I32', 'I16', 'I8', 'U8', 'BOOL'])
      expect(weights.get(type)?.dtype).toBe(type)
  })

  it('say what stands beside the weights', () => {
    expect(openWeightFile(fixture('lightning.ckpt')).metadata.get('global_step')).toBe('875000')
    expect(Object.fromEntries(openWeightFile(fixture('embedding.pt')).metadata)).toEqual({
      'string_to_token.*': '265',
      name: 'my-cat',
      step: '500',
    })
  })

  it.each([
    [
      'channels-last.pt',
      /holds `conv\.weight` with its numbers in another order \(strides 27, 1, 9, 3\); save it again/,
    ],
    ['expanded.pt', /holds `expanded` with its numbers in another order/],
    ['complex.pt', /holds `odd` as `ComplexFloat`, which cannot be read here/],
    ['module.pt', /holds `torch\.nn\.modules\.linear\.Linear`, which is code and no weights, so it is not opened/],
    ['list.pt', /holds no weights by name; save the `state_dict\(\)`/],
    ['no-weights.pt', /holds no weights by name/],
    ['legacy.pt', /is in PyTorch's old form \(before 1\.6\).*convert it once/],
    ['legacy-protocol4.pt', /is in PyTorch's old form/],
    ['script.pt', /is a program of TorchScript/],
    ['big-endian.pt', /byte order \(big-endian\)/],
    ['packed.pt', /holds `\S+\/(?:data\.pkl|byteorder)` packed/],
    ['packed-data.pt', /holds `\S+\/data\/0` packed/],
  ])('%s is refused with a sentence', (name, sentence) => {
    expect(() => openWeightFile(fixture(name))).toThrow(
      expect.objectContaining({ name: 'EngineError', code: 'model', message: expect.stringMatching(sentence) }),
    )
  })
})

describe('a pickle', () => {
  const open = (pickle: Buffer, entries: Record<string, Buffer> = {}, options = {}) => {
    const path = join(temporaryFolder(), 'a.pt')
    writeFileSync(path, zipOf({ 'a/data.pkl': pickle, ...entries }, options))
    return openWeightFile(path)
  }
  const PROTOCOL = '\x80\x02'
  const pickle = (body: string) => Buffer.from(`${PROTOCOL}${body}.`, 'latin1')
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`
  const STORAGE = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K\x04tQ`
  const tensor = (offset: string, size: string, stride: string) =>
    `ctorch._utils\n_rebuild_tensor_v2\n(${STORAGE}${offset}${size}${stride}\x89ccollections\nOrderedDict\n)RtR`
  const numbers = Array.from({ length: 20_000 }, (_, i) => `M${String.fromCharCode(i % 256, i >> 8)}`)
  const oneTensor = (...places: Parameters<typeof tensor>) => pickle(`}${text('w')}${tensor(...places)}s`)
  const FOUR = { 'a/data/0': Buffer.alloc(16) }

  it('written by hand is read, in a zip of 64 bits too', () => {
    for (const zip64 of [false, true]) {
      const { weights } = open(oneTensor('K\0', 'K\x02K\x02\x86', 'K\x02K\x01\x86'), FOUR, { zip64 })
      expect(weights.get('w')).toMatchObject({ dtype: 'F32', shape: [2, 2], length: 16 })
    }
  })

  it.each([
    ['os.system', `cos\nsystem\n${text('true')}\x85R`],
    ['posix.system', `cposix\nsystem\n(${text('true')}tR`],
    ['builtins.eval', `cbuiltins\neval\n(${text('1')}tR`],
    ['builtins.getattr', `cbuiltins\ngetattr\n(${text('1')}tR`],
    ['subprocess.Popen', `csubprocess\nPopen\n)\x81`],
    ['torch.load', `ctorch\nload\n)R`],
    ['numpy.load', `cnumpy\nload\n)R`],
    ['os.system', `ccopyreg\n_reconstructor\n(cos\nsystem\ncbuiltins\nobject\nNtR`],
    ['os.system', `ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n)NtR`],
    ['os.system', `ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncos\nsystem\n)NtR`],
    ['os.system', `${PROTOCOL}\x8c\x02os\x8c\x06system\x93)R`],
    ['torch._utils._rebuild_qtensor', 'ctorch._utils\n_rebuild_qtensor\n)R'],
  ])('that would call %s is refused by name', (name, body) => {
    expect(() => open(pickle(body))).toThrow(`holds \`${name}\`, which is code and no weights`)
  })

  it('may name what it does not call', () => {
    const named = `}(${text('w')}${tensor('K\0', 'K\x04\x85', 'K\x01\x85')}${text('c')}cos\nsystem\nu`
    expect([...open(pickle(named), FOUR).weights.names()]).toEqual(['w'])
  })

  it.each([
    ['cut off', Buffer.from('\x80\x02}', 'latin1')],
    ['an unknown opcode', pickle('\xff')],
    ['a protocol of text', Buffer.from('(dp0\n.')],
    ['an empty stack', pickle('0')],
    ['a pop under a mark', pickle('}(0')],
    ['a missing mark', pickle('t')],
    ['a missing memo', pickle('h\x05')],
    ['a call of a number', pickle('K\x01)R')],
    ['an extension', pickle('\x82\x01')],
    ['a very long integer', pickle(`\x8b\0\x01\0\0${'\x01'.repeat(256)}`)],
    ['a length past the end', pickle('X\xff\xff\xff\xff')],
    ['a length of 64 bits', pickle(`\x8d${'\xff'.repeat(8)}`)],
    ['a negative shape', oneTensor('K\0', 'J\xff\xff\xff\xff\x85', 'K\x01\x85')],
    ['a shape of fractions', oneTensor('K\0', `G?\xe0\0\0\0\0\0\0\x85`, 'K\x01\x85')],
    ['a negative offset', oneTensor('J\xff\xff\xff\xff', 'K\x04\x85', 'K\x01\x85')],
    ['an offset past the storage', oneTensor('K\x01', 'K\x04\x85', 'K\x01\x85')],
    ['a shape larger than the storage', oneTensor('K\0', 'K\x05\x85', 'K\x01\x85')],
    [
      'a shape larger than everything',
      oneTensor('K\0', '(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7ft', '(K\0K\0K\0t'),
    ],
    ['fewer strides than axes', oneTensor('K\0', 'K\x02K\x02\x86', 'K\x01\x85')],
    ['a set in place of a storage', pickle('ctorch._utils\n_rebuild_tensor_v2\n(\x8fK\0))tR')],
    [
      'a storage that is not there',
      pickle(`}${text('w')}${tensor('K\0', 'K\x04\x85', 'K\x01\x85').replace('X\x01\0\0\x000', 'X\x01\0\0\x009')}s`),
    ],
    ['a million maps', pickle('}'.repeat(1_000_000))],
    ['endless work', pickle('N0'.repeat(3_000_000))],
    [
      'copies of a map without end',
      pickle(
        `}(${numbers.map((one) => `${one}N`).join('')}uq\0ccollections\nOrderedDict\nq\x010${'h\x01h\0\x85R'.repeat(2000)}`,
      ),
    ],
    ['a map in itself', pickle(`}q\0${text('state_dict')}h\0s`)],
    ['a list in itself', pickle(`}${text('w')}]q\0h\0as`)],
  ])('with %s is an error in one sentence', (_, bytes) => {
    expect(() => open(bytes, FOUR)).toThrow(
      expect.objectContaining({
        name: 'EngineError',
        code: 'model',
        message: expect.stringMatching(/^\S+a\.pt [^\n]+\.$/),
      }),
    )
  })

  it('that unfolds into more than fits is stopped', () => {
    // Each map holds the one before it a thousand times.
    const wide = (inner: string) => `(${Array.from({ length: 200 }, (_, i) => `${text(`k${i}`)}${inner}`).join('')}d`
    const levels = [
      '}q\0',
      ...[1, 2, 3, 4].map((n) => `}q${String.fromCharCode(n)}${wide(`h${String.fromCharCode(n - 1)}`).slice(0, -1)}u`),
    ]
    const body = levels.map((level, i) => (i === levels.length - 1 ? level : `${level}0`)).join('')
    expect(() => open(pickle(body))).toThrow(/holds no weights by name/)
  })
})
