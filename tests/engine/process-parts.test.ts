/** What the engine's process is made of, where it needs no model: noise between noises, and which weights these are. */

import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PipelineFolder } from '../../src/engine/pipelines/pipeline-folder.ts'
import type { ImagesRequest } from '../../src/engine/process/engine.ts'
import { modelHash } from '../../src/engine/process/model-hash.ts'
import { slerp, startOf } from '../../src/engine/process/noise.ts'
import { usableCores } from '../../src/engine/process/threads.ts'
import { Patience } from '../../src/engine/process/watchdog.ts'
import { Generator } from '../../src/engine/random/generator.ts'

describe('a variation', () => {
  const dims = [1, 4, 16, 16]
  const noise = (seed: number) => new Generator(seed).randn(dims).data
  const length = (vector: Float32Array) => Math.hypot(...vector)
  const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 })

  it('is as strong as noise, at every strength', () => {
    fc.assert(
      fc.property(seed, seed, fc.double({ min: 0, max: 1, noNaN: true }), (from, to, t) => {
        const [a, b] = [length(noise(from)), length(noise(to))]
        const between = length(slerp(t, noise(from), noise(to)))
        expect(between).toBeGreaterThan(Math.min(a, b) * 0.98)
        expect(between).toBeLessThan(Math.max(a, b) * 1.02)
      }),
      { numRuns: 30 },
    )
  })

  it('begins at its seed, ends at its own, and stays put between equals', () => {
    expect(slerp(0, noise(1), noise(2))).toEqual(noise(1))
    expect(slerp(1, noise(1), noise(2))).toEqual(noise(2))
    const same = slerp(0.5, noise(1), noise(1))
    for (const [i, value] of noise(1).entries()) expect(same[i]).toBeCloseTo(value, 6)
  })

  it('of a variation goes on from there, in order', () => {
    const [b, c] = [
      { seed: 2, strength: 0.25 },
      { seed: 3, strength: 0.5 },
    ]
    const { latents } = startOf({ seed: 1, variations: [b, c] }, dims)
    expect(latents).toEqual({ data: slerp(0.5, slerp(0.25, noise(1), noise(2)), noise(3)), dims })
    expect(startOf({ seed: 1, variations: [c, b] }, dims).latents).not.toEqual(latents)
  })

  it("leaves its seed's stream where a fresh picture's is", () => {
    const { generator } = startOf({ seed: 1, variations: [{ seed: 2, strength: 0.25 }] }, dims)
    expect(generator.randn(dims)).toEqual(startOf({ seed: 1, variations: [] }, dims).generator.randn(dims))
  })
})

describe('patience', () => {
  const request = {
    model: 'small',
    width: 64,
    height: 64,
    images: [{ seed: 1, variations: [] }],
  } as unknown as ImagesRequest

  it('is measured by each model alone, and anew when one was opened again', () => {
    const patience = new Patience(1000)
    const unmeasured = patience.forStep(request)
    patience.measure(request, 10)
    expect(patience.forStep(request)).toBeLessThan(unmeasured)
    expect(patience.forStep({ ...request, model: 'large' })).toBe(unmeasured)
    patience.forget(request)
    expect(patience.forStep(request)).toBe(unmeasured)
  })
})

describe('usableCores', () => {
  it.each([
    ['150000 100000\n', Math.min(2, availableParallelism())],
    ['10000 100000\n', 1],
    ['max 100000\n', availableParallelism()],
    ['', availableParallelism()],
  ])('knows a quota of %j', async (quota, cores) => {
    const file = join(await mkdtemp(join(tmpdir(), 'seedling-quota-')), 'cpu.max')
    await writeFile(file, quota)
    expect(usableCores(file)).toBe(cores)
    await rm(dirname(file), { recursive: true })
    expect(usableCores(file)).toBe(availableParallelism())
  })
})

describe('modelHash', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'seedling-hash-'))
    await mkdir(join(folder, 'unet'))
    await writeFile(join(folder, 'model_index.json'), '{}')
    await writeFile(join(folder, 'model_index.json'), '{}')
    await writeFile(join(folder, 'unet/model.onnx'), 'graph')
    await writeFile(join(folder, 'unet/model.onnx_data'), 'weights')
  })
  afterEach(() => Promise.all([folder, `${folder}-cache`].map((path) => rm(path, { recursive: true, force: true }))))

  it('is the SHA-256 of all graphs and weights, and of nothing else', async () => {
    // printf graphweights | sha256sum
    const hash = async () => modelHash(await (await PipelineFolder.open(folder)).weightFiles())
    expect(await hash()).toBe('e814e4e36a')
    await writeFile(join(folder, 'unet/config.json'), '{}')
    await writeFile(join(folder, 'unet/model.safetensors'), 'torch')
    await mkdir(join(folder, '.git'))
    await writeFile(join(folder, '.git/HEAD'), 'ref')
    await mkdir(join(folder, 'unet/backup'))
    await symlink('nowhere', join(folder, 'unet/model_fp16.onnx'))
    expect(await hash()).toBe('e814e4e36a')
    await writeFile(join(folder, 'unet/model.onnx_data'), 'other')
    expect(await hash()).not.toBe('e814e4e36a')
  })

  it('of a large model is remembered until a file changes', async () => {
    const cache = join(`${folder}-cache`, 'kept')
    const large = join(folder, 'unet/model.onnx_data')
    const hash = () => modelHash([join(folder, 'unet/model.onnx'), large], { cacheDir: cache, worthKeeping: 1 })
    const first = await hash()
    const [kept] = await readdir(cache)
    await writeFile(join(cache, kept!), '0123456789')
    expect(await hash()).toBe('0123456789')
    await writeFile(join(cache, kept!), 'not a hash')
    expect(await hash()).toBe(first)
    await utimes(large, new Date(), new Date(0))
    await hash()
    expect(await readdir(cache)).toHaveLength(2)
  })
})
