import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import type { AutoencoderKL } from '../../src/engine/models/vae.ts'
import { compare, MORE_FIXTURES, ON_CPU, readNpy, tinyPipeline } from './tiny-pipeline.ts'

describe('AutoencoderKL', () => {
  let pipe: StableDiffusionPipeline
  let vae: AutoencoderKL
  beforeAll(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
    vae = pipe.components.vae
  })

  it('decodes and encodes in tiles as diffusers does', async () => {
    pipe.enableVaeTiling()
    const decoded = await vae.decode(new Generator(1).randn([2, 4, 20, 13]))
    const wanted = readNpy(join(MORE_FIXTURES, 'tiled-decode.npy'))
    expect(decoded.dims).toEqual(wanted.dims)
    expect(compare(decoded, wanted).difference).toBeLessThan(1e-4)

    const moments = readNpy(join(MORE_FIXTURES, 'tiled-encode.npy'))
    const distribution = await vae.encode(readNpy(join(MORE_FIXTURES, 'tiled-encode-input.npy')))
    pipe.disableVaeTiling()
    const { data: noise } = new Generator(3).randn([1, 4, 11, 18])
    const sample = noise.map((value, i) => moments.data[i]! + Math.exp(0.5 * moments.data[noise.length + i]!) * value)
    const drawn = distribution.sample(new Generator(3))
    expect(compare(drawn, { data: sample, dims: [1, 4, 11, 18] }).difference).toBeLessThan(1e-4)
  })

  it('decodes image by image with the same result', async () => {
    const latents = new Generator(1).randn([3, 4, 8, 8])
    const together = await vae.decode(latents)
    pipe.enableVaeSlicing()
    const sliced = await vae.decode(latents)
    pipe.disableVaeSlicing()
    expect(sliced.dims).toEqual([3, 3, 64, 64])
    expect(compare(sliced, together).difference).toBeLessThan(1e-5)
  })

  it('its encoder is opened when an image is first encoded', async () => {
    const { components } = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
    const { encoder } = components.vae
    expect(encoder!.inputs.size).toBe(0)
    await encoder!.to('cpu')
    expect(encoder!.inputs.size).toBe(0)
    await components.vae.encode(new Generator(1).randn([1, 3, 64, 64]))
    expect([...encoder!.inputs.keys()]).toEqual(['sample'])
  })

  it('an encoder that is damaged is named when the model is opened', async () => {
    const folder = tinyPipeline('tiny-sd1')
    truncateSync(join(folder, 'vae_encoder/model.onnx'), 1000)
    await expect(StableDiffusionPipeline.fromPretrained(folder, ON_CPU)).rejects.toThrow(
      /vae_encoder\/model\.onnx is damaged or half-downloaded/,
    )
  })
})
