/** The generator against torch's own numbers, on the CPU and on CUDA. */

import { describe, expect, it } from 'vitest'
import { Generator } from '../../src/engine/random/generator.ts'
import golden from '../golden/torch-cpu-randn.json' with { type: 'json' }

const TOLERANCE = 1e-6

function expectClose(actual: Iterable<number>, expected: readonly number[]): void {
  const numbers = [...actual]
  expect(numbers).toHaveLength(expected.length)
  numbers.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!)).toBeLessThan(TOLERANCE)
  })
}

describe('Generator on the CPU', () => {
  it.each(['0', '42', '1234567890', '4294967338'] as const)('draws what torch draws for seed %s', (seed) => {
    const expected = golden[seed]
    const generator = new Generator(Number(seed))
    const { data, dims } = generator.randn(expected.shape)
    expect(dims).toEqual(expected.shape)
    expectClose(data.subarray(0, 8), expected.first8)
    expectClose(data.subarray(-4), expected.last4)
    expect(data.reduce((sum, x) => sum + x, 0)).toBeCloseTo(expected.sum, 2)
    expect(data.reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(expected.sumsq, 1)
    expectClose(generator.randn(expected.shape).data.subarray(0, 4), expected.second_draw_first4)
  })

  it.each([20, 100, 676] as const)('redraws the ragged end of %i numbers', (n) => {
    const expected = golden[`seed7_n${n}`]
    const { data } = new Generator(7).randn([n])
    expectClose(data.subarray(0, 4), expected.first4)
    expectClose(data.subarray(-4), expected.last4)
  })

  it('draws fewer than 16 numbers singly', () => {
    expectClose(new Generator(7).randn([4]).data, golden.seed7_n4_scalar_path)
  })
})
