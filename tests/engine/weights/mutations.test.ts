/** Whatever a file says, opening it ends: with weights that lie in the file, or with a sentence. */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { EngineError } from '../../../src/engine/errors.ts'
import { TYPE_WIDTH } from '../../../src/engine/weights/stored-tensor.ts'
import { openWeightFile } from '../../../src/engine/weights/weight-file.ts'
import { temporaryFolder } from '../tiny-pipeline.ts'
import { WEIGHT_FIXTURES, writeSafetensors, zipOf } from './stored.ts'

let path: string

beforeAll(() => {
  path = join(temporaryFolder(), 'mutated')
})

function opensOrSays(): void {
  let opened: ReturnType<typeof openWeightFile>
  try {
    opened = openWeightFile(path)
  } catch (error) {
    if (!(error instanceof EngineError)) throw error
    expect(error).toMatchObject({ code: 'model', message: expect.stringMatching(/^[^\n]+\.$/) })
    return
  }
  const { length: size } = readFileSync(path)
  for (const name of opened.weights.names()) {
    const { shape, dtype, offset, length } = opened.weights.get(name)!
    expect(offset).toBeGreaterThanOrEqual(0)
    expect(offset + length).toBeLessThanOrEqual(size)
    expect(length).toBe(shape.reduce((product, one) => product * one, TYPE_WIDTH[dtype]))
  }
}

/** Some bytes become others, some are cut out, some come twice. */
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('set'), at: fc.nat(), value: fc.nat(255) }),
  fc.record({ kind: fc.constant('cut'), at: fc.nat(), length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('repeat'), at: fc.nat(), length: fc.integer({ min: 1, max: 40 }) }),
) as fc.Arbitrary<{ kind: 'set' | 'cut' | 'repeat'; at: number; value?: number; length?: number }>

function mutated(
  bytes: Buffer,
  mutations: readonly { kind: string; at: number; value?: number; length?: number }[],
): Buffer {
  return mutations.reduce((file, { kind, at: place, value = 0, length = 0 }) => {
    const at = place % Math.max(1, file.length)
    const [before, after] = [file.subarray(0, at), file.subarray(at)]
    if (kind === 'set') return Buffer.concat([before, Buffer.from([value]), after.subarray(1)])
    if (kind === 'cut') return Buffer.concat([before, after.subarray(length)])
    return Buffer.concat([before, after.subarray(0, length), after])
  }, bytes)
}

describe('a mutated file', () => {
  const files = ['plain.safetensors', 'plain.bin', 'protocol4.pt', 'lightning.ckpt', 'embedding-parameter-dict.pt']
  it.each(files)('%s opens or says why not', (name) => {
    const original = readFileSync(join(WEIGHT_FIXTURES, name))
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 5 }), (mutations) => {
        writeFileSync(path, mutated(original, mutations))
        opensOrSays()
      }),
      { numRuns: 200 },
    )
  })

  it('with a mutated pickle in a sound archive opens or says why not', () => {
    const pickles = ['plain.bin', 'lightning.ckpt', 'protocol4.pt'].map((name) =>
      pickleIn(readFileSync(join(WEIGHT_FIXTURES, name))),
    )
    const data = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`a/data/${i}`, Buffer.alloc(64)]))
    fc.assert(
      fc.property(
        fc.constantFrom(...pickles),
        fc.array(mutation, { minLength: 1, maxLength: 5 }),
        (pickle, mutations) => {
          writeFileSync(path, zipOf({ 'a/data.pkl': mutated(pickle, mutations), ...data }))
          opensOrSays()
        },
      ),
      { numRuns: 400 },
    )
  })

  it('with a pickle of any opcodes opens or says why not', () => {
    const opcodes = Buffer.from(
      '\x80\x95(012NK\x88\x89MJG\x8a\x8bX\x8c\x8dTUBC\x8e\x96]lae)\x85\x86\x87t}su\x8f\x90\x91qr\x94hjc\x93QR\x81\x92b.',
      'latin1',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...opcodes), fc.nat(255))), (bytes) => {
        writeFileSync(path, zipOf({ 'a/data.pkl': Buffer.from([0x80, 2, ...bytes, 0x2e]) }))
        opensOrSays()
      }),
      { numRuns: 400 },
    )
  })

  it('whose header is any JSON opens or says why not', () => {
    const number = fc.oneof(fc.nat(64), fc.integer(), fc.double(), fc.constantFrom(2 ** 53, 2 ** 64, -0, 1e300))
    const tensor = fc.record(
      {
        dtype: fc.oneof(fc.constantFrom(...Object.keys(TYPE_WIDTH)), fc.string()),
        shape: fc.oneof(fc.array(number, { maxLength: 4 }), fc.jsonValue()),
        data_offsets: fc.oneof(fc.tuple(number, number), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(
        fc.oneof(fc.dictionary(fc.string(), tensor), fc.dictionary(fc.string(), fc.jsonValue())),
        fc.nat(200),
        (header, length) => {
          writeSafetensors(path, header, length)
          opensOrSays()
        },
      ),
      { numRuns: 400 },
    )
  })

  it('of sound tensors in any order opens', () => {
    const tensors = fc.array(
      fc.tuple(
        fc.constantFrom(...(Object.keys(TYPE_WIDTH) as (keyof typeof TYPE_WIDTH)[])),
        fc.array(fc.nat(4), { maxLength: 3 }),
      ),
      { maxLength: 8 },
    )
    fc.assert(
      fc.property(tensors, (list) => {
        let at = 0
        const header: Record<string, object> = {}
        for (const [i, [dtype, shape]] of list.entries()) {
          const end = at + shape.reduce((product, size) => product * size, TYPE_WIDTH[dtype])
          header[`t${list.length - i}`] = { dtype, shape, data_offsets: [at, end] }
          at = end
        }
        writeSafetensors(path, Object.fromEntries(Object.entries(header).reverse()), at)
        expect([...openWeightFile(path).weights.names()]).toHaveLength(list.length)
        opensOrSays()
      }),
      { numRuns: 200 },
    )
  })
})

/** The pickle in an archive that torch wrote: its data follows the entry's name and padding. */
function pickleIn(archive: Buffer): Buffer {
  const name = archive.indexOf('/data.pkl')
  const header = archive.lastIndexOf('PK\x03\x04', name)
  const start = header + 30 + archive.readUInt16LE(header + 26) + archive.readUInt16LE(header + 28)
  return archive.subarray(start, archive.indexOf('PK', start))
}
