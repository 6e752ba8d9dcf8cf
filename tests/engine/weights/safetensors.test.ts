import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { openWeightFile } from '../../../src/engine/weights/weight-file.ts'
import { temporaryFolder } from '../tiny-pipeline.ts'
import { describeWeights, EXPECTED, WEIGHT_FIXTURES, writeSafetensors } from './stored.ts'

const FOUR_FLOATS = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] }

describe('a safetensors file', () => {
  let path: string
  const sentence = (pattern: RegExp) =>
    expect.objectContaining({ name: 'EngineError', code: 'model', message: expect.stringMatching(pattern) })

  beforeAll(() => {
    path = join(temporaryFolder(), 'a.safetensors')
  })

  it("gives each tensor's type, shape and place, as torch wrote them", () => {
    const { weights, metadata } = openWeightFile(join(WEIGHT_FIXTURES, 'plain.safetensors'))
    expect(describeWeights(weights)).toEqual(EXPECTED['plain.safetensors'])
    expect(weights.get('BF16')?.dtype).toBe('BF16')
    expect(weights.get('constructor')).toBeUndefined()
    expect([...metadata]).toEqual([['format', 'pt']])
  })

  it('may be empty, padded, and have names that JavaScript uses itself', () => {
    const empty = openWeightFile(writeSafetensors(path, '{}   ', 0))
    expect([...empty.weights.names()]).toEqual([])
    const header = `{"__proto__":${JSON.stringify(FOUR_FLOATS)} , "é\\n\\"":{"shape":[0,3],"dtype":"F16","data_offsets":[16,16]}}  `
    const { weights } = openWeightFile(writeSafetensors(path, header, 16))
    expect(weights.get('__proto__')?.shape).toEqual([2, 2])
    expect(weights.get('é\n"')).toMatchObject({ shape: [0, 3], length: 0 })
  })

  it('behind a link is read', () => {
    writeSafetensors(path, { w: FOUR_FLOATS }, 16)
    const link = join(temporaryFolder(), 'link.safetensors')
    symlinkSync(path, link)
    expect(openWeightFile(link).weights.get('w')?.path).toBe(link)
  })

  const tensor = (changes: object) => ({ w: { ...FOUR_FLOATS, ...changes } })
  it.each<[string, string | object, number, RegExp]>([
    ['fewer bytes than it says', { w: FOUR_FLOATS }, 15, /is cut off: .* download it again/],
    ['bytes left over', { w: FOUR_FLOATS }, 17, /its last 1 bytes belong to no tensor/],
    ['an unknown dtype', tensor({ dtype: 'F4' }), 16, /holds `w` as `F4`, which cannot be read here/],
    ['a dtype of JavaScript', tensor({ dtype: 'toString' }), 16, /holds `w` as `toString`/],
    ['a shape of another size', tensor({ shape: [2, 3] }), 16, /`w` has 16 bytes, which is not F32 \[2, 3\]/],
    ['a shape that overflows', tensor({ shape: [9007199254740991, 9007199254740991] }), 16, /`w` has 16 bytes/],
    ['a negative size', tensor({ shape: [-2, -2] }), 16, /something else than a whole, not negative number/],
    ['a size of a fraction', tensor({ shape: [2.5, 2] }), 16, /something else than a whole/],
    ['a size in letters', tensor({ shape: ['2', 2] }), 16, /something else than a whole/],
    [
      'a size beyond exact numbers',
      '{"w":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,16]}}',
      16,
      /whole/,
    ],
    ['a negative offset', tensor({ data_offsets: [-16, 0] }), 16, /something else than a whole/],
    ['an exponent', '{"w":{"dtype":"F32","shape":[4e0],"data_offsets":[0,16]}}', 16, /something else than a whole/],
    ['offsets that go back', tensor({ data_offsets: [16, 0] }), 16, /`w` ends before it begins/],
    ['three offsets', tensor({ data_offsets: [0, 8, 16] }), 16, /a list longer than 2/],
    [
      'one offset',
      tensor({ data_offsets: [0] }),
      16,
      /does not give each tensor a dtype, a shape and two data_offsets/,
    ],
    ['no shape', { w: { dtype: 'F32', data_offsets: [0, 16] } }, 16, /does not give each tensor/],
    ['an unknown field', tensor({ more: 1 }), 16, /the format does not know: more/],
    [
      'tensors that overlap',
      { w: FOUR_FLOATS, v: { ...FOUR_FLOATS, data_offsets: [8, 24] } },
      24,
      /`v` overlaps another/,
    ],
    [
      'a hole',
      { w: FOUR_FLOATS, v: { ...FOUR_FLOATS, data_offsets: [20, 36] } },
      36,
      /nothing says what lies before `v`/,
    ],
    [
      'a tensor twice',
      `{"w":${JSON.stringify(FOUR_FLOATS)},"w":${JSON.stringify(FOUR_FLOATS)}}`,
      16,
      /a tensor twice: w/,
    ],
    [
      'a field twice',
      '{"w":{"dtype":"F32","dtype":"F16","shape":[4],"data_offsets":[0,16]}}',
      16,
      /does not know: dtype/,
    ],
    ['other metadata than words', { __metadata__: { a: 1 } }, 0, /is no JSON of a safetensors file/],
    ['metadata twice', '{"__metadata__":{},"__metadata__":{}}', 0, /its header has its metadata twice/],
    ['a list for a header', '[]', 0, /is a text \(JSON\)|is no file of weights/],
    ['a header that goes on', '{}{}', 0, /its header goes on after its end/],
    ['a header that is cut off', '{"w', 0, /its header ends in the middle of a string/],
    ['a comma too many', '{"a":{},}', 0, /is no sound safetensors file/],
    ['a bad escape', '{"\\x":{}}', 0, /a string that is no JSON/],
    ['a name in two lines', { '\n\u202e`w`': { ...FOUR_FLOATS, dtype: 'X' } }, 16, /holds `\?\?'w'` as `X`/],
    ['a name of 5000 letters', { ['n'.repeat(5000)]: FOUR_FLOATS }, 16, /a name longer than 4096 bytes/],
    ['deep nesting', `{"w":${'['.repeat(1_000_000)}`, 0, /is no JSON of a safetensors file at byte 5/],
    ['deep nesting inside', `{"w":{"shape":${'['.repeat(1_000_000)}`, 0, /something else than a whole/],
    ['a million sizes', `{"w":{"shape":[${'1,'.repeat(1_000_000)}1]}}`, 0, /a list longer than 64/],
    [
      'a million tensors',
      `{${Array.from({ length: 200_000 }, (_, i) => `"${i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`)}}`,
      0,
      /names more than 100000 tensors/,
    ],
    ['endless white space', `{${' '.repeat(20_000_000)}`, 0, /is no JSON of a safetensors file/],
    ['an endless string', `{"__metadata__":{"${'\\"'.repeat(10_000_000)}`, 0, /ends in the middle of a string/],
  ])('with %s is an error in one sentence', (_, header, dataLength, pattern) => {
    writeSafetensors(path, header, dataLength)
    const oneLine = new RegExp(`^/\\S+a\\.safetensors (?=.*(?:${pattern.source}))[^\\n]+\\.$`)
    expect(() => openWeightFile(path)).toThrow(sentence(oneLine))
  })

  it.each([
    ['longer than the file', 1000n, /is cut off/],
    ['longer than 100 MB', 100_000_001n, /its header would be longer than 100 MB/],
    ['longer than anything', 2n ** 64n - 1n, /its header would be longer than 100 MB/],
    ['shorter than it is', 9n, /is no sound safetensors file \(its header/],
    ['of nothing', 0n, /is no sound safetensors file \(its header/],
  ])('whose header is said to be %s is an error', (_, length, pattern) => {
    expect(() => openWeightFile(writeSafetensors(path, { w: FOUR_FLOATS }, 16, length))).toThrow(sentence(pattern))
  })

  it('whose header is not in UTF-8 is an error', () => {
    writeFileSync(path, Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from([0x7b, 0x22, 0xff, 0x22])]))
    expect(() => openWeightFile(path)).toThrow(sentence(/is no JSON object in UTF-8/))
  })

  it('that ends within its first bytes is an error', () => {
    writeSafetensors(path, { w: FOUR_FLOATS }, 16)
    truncateSync(path, 12)
    expect(() => openWeightFile(path)).toThrow(sentence(/is cut off/))
  })
})

describe('what is no file of weights', () => {
  const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n'
  it.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /is empty; download it again/],
    ['zeros', Buffer.alloc(2000), /holds only zeros: its download broke off/],
    [
      'a page',
      '\ufeff\n<!DOCTYPE html><html><body>Please log in',
      /is a page of a website, saved in place of the model/,
    ],
    ['a page without a type', '<html lang="en">', /is a page of a website/],
    [
      'an answer of a store',
      '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
      /is an error message \(XML\)/,
    ],
    ['an answer of a program', '{"error":"Repository not found"}', /is a text \(JSON\), an error message or a config/],
    ['an answer in pretty print', '{\n  "error": {"code": 404}}', /is a text \(JSON\)/],
    ['a pointer of Git LFS', LFS, /is the pointer of Git LFS .* run `git lfs pull`/],
    ['GGUF', Buffer.concat([Buffer.from('GGUF\x03\0\0\0'), Buffer.alloc(100)]), /is a GGUF file/],
    ['ONNX', Buffer.from('\x08\x08\x12\x07pytorch\x1a\x052.1.0', 'latin1'), /is an ONNX graph; give the folder/],
    ['a zip', Buffer.from('PK\x05\x06'.padEnd(22, '\0'), 'latin1'), /is a zip archive and no checkpoint of PyTorch/],
    ['7z', Buffer.from('7z\xbc\xaf\x27\x1c\0\x04', 'latin1'), /is a packed archive; unpack it/],
    ['a pickle', Buffer.from('\x80\x03}q\0.', 'latin1'), /is a pickle of Python/],
    ['a tar', Buffer.from(`${'a'.padEnd(257, '\0')}ustar\0`), /is a tar archive/],
    ['a picture', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /is a picture/],
    ['a program', '#!/bin/sh\nrm -rf', /is a program/],
    ['a letter', 'x', /is no file of weights that is known here/],
    ['a text', 'a cat and {a dog}', /is no file of weights that is known here/],
  ])('%s is told from its first bytes', (_, content, pattern) => {
    const path = join(temporaryFolder(), 'model.safetensors')
    writeFileSync(path, content)
    expect(() => openWeightFile(path)).toThrow(
      expect.objectContaining({ name: 'EngineError', code: 'model', message: expect.stringMatching(pattern) }),
    )
  })

  it('a folder, a missing file and a device are told', () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'unet.safetensors'))
    expect(() => openWeightFile(join(folder, 'unet.safetensors'))).toThrow(/is no file; give a file of weights/)
    expect(() => openWeightFile(join(folder, 'absent.safetensors'))).toThrow(/There is no file \S+absent/)
    expect(() => openWeightFile('/dev/zero')).toThrow(/is no file/)
  })
})
