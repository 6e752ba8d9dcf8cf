/** Every scheduler against latents that diffusers computed, step by step. */

import { describe, expect, it } from 'vitest'
import { Generator } from '../../src/engine/random/generator.ts'
import { schedulerFromConfig } from '../../src/engine/schedulers/index.ts'
import type { Scheduler } from '../../src/engine/schedulers/scheduler.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import goldens from '../golden/schedulers.json' with { type: 'json' }

const DIMS = [1, 1, 4, 4]

/** The stand-in for a UNet that the golden files were made with. */
function model({ data, dims }: Tensor, timestep: number): Tensor {
  const scale = 0.3 + (0.6 * timestep) / 1000
  return { data: data.map((x) => scale * Math.tanh(0.7 * x + 0.1)), dims }
}

function denoise(scheduler: Scheduler, firstSample: readonly number[], seed: number, eta?: number): number[][] {
  const generator = new Generator(seed)
  let sample: Tensor = { data: Float32Array.from(firstSample), dims: DIMS }
  return scheduler.timesteps.map((t) => {
    const output = model(scheduler.scaleModelInput(sample, t), t)
    sample = scheduler.step(output, t, sample, { generator, ...(eta === undefined ? {} : { eta }) }).prevSample
    return [...sample.data]
  })
}

/** Largest difference, as a part of the expected numbers' largest magnitude. */
function relativeError(actual: readonly number[], expected: readonly number[]): number {
  expect(actual).toHaveLength(expected.length)
  const magnitude = Math.max(...expected.map(Math.abs), 1e-3)
  return Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / magnitude
}

describe('diffusers 0.40 goldens', () => {
  it.each(Object.entries(goldens))('%s', (_name, golden) => {
    const scheduler = schedulerFromConfig({ ...golden.config, _class_name: golden.cls })
    scheduler.setTimesteps(golden.steps)
    expect(relativeError(scheduler.timesteps, golden.timesteps)).toBeLessThan(1e-6)
    expect(relativeError([scheduler.initNoiseSigma], [golden.init_noise_sigma])).toBeLessThan(1e-6)
    const outputs = denoise(scheduler, golden.first_sample, 42)
    expect(relativeError(outputs.flat(), golden.outputs.flat())).toBeLessThan(1e-5)
  })
})
