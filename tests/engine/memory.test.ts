import { afterEach, describe, expect, it, vi } from 'vitest'
import { availableMemory, requireMemory } from '../../src/engine/devices/memory.ts'
import { DataType } from '../../src/engine/graph/onnx-schema.ts'
import { OnnxRuntimeModel } from '../../src/engine/models/onnx-runtime-model.ts'
import { graphOf, node, sourceOf } from './small-graph.ts'
import { ON_CPU } from './tiny-pipeline.ts'

afterEach(() => vi.unstubAllEnvs())

const GB = 1e9

describe('what does not fit', () => {
  const unet = { part: 'unet', bytes: 3.4 * GB, smaller: { dtype: 'int8', bytes: 1 * GB } }

  it('is refused with what would fit', () => {
    expect(() => requireMemory(unet, 2 * GB)).toThrow(
      "The unet needs about 3.4 GB of memory and 2.0 GB are free: use dtype 'int8' (about 1.0 GB), free some memory, or set" +
        ' SEEDLING_MEMORY_CHECK=off to try it all the same.',
    )
    expect(() => requireMemory(unet, 0.5 * GB)).toThrow(/and 0\.5 GB are free: use a smaller model, free/)
    expect(() => requireMemory(unet, 3.4 * GB)).not.toThrow()
  })

  it('is tried where the operator says so', () => {
    vi.stubEnv('SEEDLING_MEMORY_CHECK', 'off')
    expect(() => requireMemory(unet, 2 * GB)).not.toThrow()
    vi.stubEnv('SEEDLING_MEMORY_CHECK', 'no')
    expect(() => requireMemory(unet, 2 * GB)).toThrow('SEEDLING_MEMORY_CHECK is "no"; set it to on or off.')
  })

  it('is said before anything is read', async () => {
    const side = 2 ** 22
    const weight = {
      tensor: { name: 'w', dims: [side, side], dataType: DataType.FLOAT16 },
      place: { path: import.meta.filename, offset: 0, length: 2 * side * side },
    }
    const read = () => graphOf([node('MatMul', ['x', 'w'], 'y')], [weight], { x: [1, side], y: [1, side] })
    await expect(OnnxRuntimeModel.load(sourceOf(read), { ...ON_CPU, cacheDir: null })).rejects.toMatchObject({
      code: 'device',
      message: expect.stringMatching(/^The unet needs about 70368\.7 GB of memory and/),
    })
  })
})

it.runIf(process.platform === 'linux')('what is free is neither nothing nor more than a machine has', () => {
  expect(availableMemory()).toBeGreaterThan(50e6)
  expect(availableMemory()).toBeLessThan(1e14)
})
