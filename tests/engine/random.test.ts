/** The generator against torch's own numbers, bit for bit on the CPU. */

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.ts'
import { Generator } from '../../src/engine/random/generator.ts'
import { randnTensor } from '../../src/engine/random/randn-tensor.ts'
import more from '../golden/randn-more.json' with { type: 'json' }
import golden from '../golden/torch-cpu-randn.json' with { type: 'json' }

describe('Generator on the CPU', () => {
  it.each(['0', '42', '1234567890', '4294967338'] as const)('draws what torch draws for seed %s', (seed) => {
    const expected = golden[seed]
    const generator = new Generator(Number(seed))
    const { data, dims } = generator.randn(expected.shape)
    expect(dims).toEqual(expected.shape)
    expect([...data.subarray(0, 8)]).toEqual(expected.first8)
    expect([...data.subarray(-4)]).toEqual(expected.last4)
    expect([...generator.randn(expected.shape).data.subarray(0, 4)]).toEqual(expected.second_draw_first4)
  })

  it.each([20, 100, 676] as const)('redraws the ragged end of %i numbers', (n) => {
    const expected = golden[`seed7_n${n}`]
    const { data } = new Generator(7).randn([n])
    expect([...data.subarray(0, 4)]).toEqual(expected.first4)
    expect([...data.subarray(-4)]).toEqual(expected.last4)
  })

  it('draws fewer than 16 numbers singly', () => {
    expect([...new Generator(7).randn([4]).data]).toEqual(golden.seed7_n4_scalar_path)
  })

  it.each(more.cpu)('draws $sizes numbers one after another from seed $seed', ({ seed, sizes, first, sha256 }) => {
    const generator = new Generator(BigInt(seed))
    const draws = sizes.map((n) => generator.randn([n]).data)
    expect(draws.map((data) => [...data.subarray(0, 4)])).toEqual(first)
    const hash = createHash('sha256')
    for (const data of draws) hash.update(data)
    expect(hash.digest('hex')).toBe(sha256)
  })

  it('remembers the seed as torch reports it', () => {
    expect(new Generator(-1).initialSeed).toBe(2n ** 64n - 1n)
  })

  it.each([0.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])('refuses the seed %s', (seed) => {
    expect(() => new Generator(seed)).toThrow(EngineError)
  })
})

describe('Generator on CUDA', () => {
  it.each(more.cuda)('draws $sizes numbers from seed $seed', ({ seed, sizes, numbers }) => {
    const generator = new Generator(BigInt(seed), { device: 'cuda' })
    for (const [i, n] of sizes.entries()) {
      const { data } = generator.randn([n])
      expect(data).toHaveLength(n)
      numbers[i]!.forEach((expected, k) => {
        expect(data[k]).toBeCloseTo(expected, 6)
      })
    }
  })
})

describe('randnTensor', () => {
  const { seeds, shape, numbers } = more.batch

  it('draws row by row from a list of generators', () => {
    const generators = seeds.map((seed) => new Generator(seed))
    expect([...randnTensor(shape, generators).data]).toEqual(numbers)
  })

  it('draws the whole batch from one generator, alone or in a list', () => {
    const alone = randnTensor([3, 20], new Generator(1)).data
    expect(randnTensor([3, 20], [new Generator(1)]).data).toEqual(alone)
    expect(alone).toEqual(new Generator(1).randn([60]).data)
  })

  it('draws other noise each time without a generator', () => {
    expect(randnTensor([1, 32]).data).not.toEqual(randnTensor([1, 32]).data)
  })

  it('refuses a list that does not fit the batch', () => {
    expect(() => randnTensor([3, 4], [new Generator(1), new Generator(2)])).toThrow(/3/)
  })
})
