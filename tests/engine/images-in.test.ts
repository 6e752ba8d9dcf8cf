import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { candidates } from '../../src/engine/devices/device.ts'
import {
  Generator,
  type ImageInput,
  type LoadProgress,
  StableDiffusionImg2ImgPipeline,
} from '../../src/engine/index.ts'
import { compare, MORE_FIXTURES, ON_CPU, tinyPipeline } from './tiny-pipeline.ts'

const PATH = join(MORE_FIXTURES, 'square.png')

describe('an image to start from', () => {
  let pipe: StableDiffusionImg2ImgPipeline
  beforeAll(async () => {
    pipe = await StableDiffusionImg2ImgPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
  })
  const latentsOf = async (image: ImageInput) => {
    const args = { prompt: 'a cat', image, strength: 0.5, numInferenceSteps: 2, generator: new Generator(1) }
    return (await pipe.generate({ ...args, outputType: 'latent' })).images
  }

  it('is the same as a path, as bytes, as raw pixels of every form', async () => {
    const wanted = await latentsOf(PATH)
    const { data, info } = await sharp(PATH).raw().toBuffer({ resolveWithObject: true })
    const { width, height } = info
    const rgba = await sharp(PATH).ensureAlpha(0.5).raw().toBuffer()
    const floats = Float32Array.from(data, (value) => value / 255)
    const forms: ImageInput[] = [
      readFileSync(PATH),
      { data, width, height, channels: 3 },
      { data, width, height },
      { data, info },
      { data: rgba, width, height, channels: 4 },
      { data: floats, dims: [height, width, 3] },
      { data: floats, dims: [1, height, width, 3] },
    ]
    for (const form of forms) expect(await latentsOf(form)).toEqual(wanted)
  })

  it('as floats is neither rounded nor resized by more than the nearest pixel', async () => {
    const { data: floats } = new Generator(2).randn([64, 67, 3])
    const [wide, narrow] = [floats.map((value) => Math.abs(value) % 1), new Float32Array(64 * 64 * 3)]
    for (let y = 0; y < 64; y++)
      for (let x = 0; x < 64; x++) {
        const from = (y * 67 + Math.floor((x * 67) / 64)) * 3
        narrow.set(wide.subarray(from, from + 3), (y * 64 + x) * 3)
      }
    const wanted = await latentsOf({ data: narrow, dims: [64, 64, 3] })
    expect(await latentsOf({ data: wide, dims: [64, 67, 3] })).toEqual(wanted)
    const rounded = Uint8ClampedArray.from(narrow, (value) => value * 255)
    expect(await latentsOf({ data: rounded, dims: [64, 64, 3] })).not.toEqual(wanted)
    await expect(latentsOf({ data: narrow.fill(Number.NaN), dims: [64, 64, 3] })).rejects.toThrow(/holds NaN/)
  })

  it('may be several in one tensor, as they come out', async () => {
    const args = { prompt: ['a cat', 'a dog'], strength: 0.5, numInferenceSteps: 2, outputType: 'np' } as const
    const make = async (image: ImageInput | ImageInput[]) =>
      (await pipe.generate({ ...args, image, generator: new Generator(1) })).images
    const two = await make(PATH)
    const size = two.data.length / 2
    const each = [0, 1].map((i) => ({ data: two.data.slice(i * size, (i + 1) * size), dims: [64, 64, 3] }))
    expect(await make(two)).toEqual(await make(each))
  })

  it('may be grey, and may lie on its side', async () => {
    const grey = await sharp(PATH).greyscale().png().toBuffer()
    const colours = await sharp(grey).toColourspace('srgb').png().toBuffer()
    expect(await latentsOf(grey)).toEqual(await latentsOf(colours))
    const turned = await sharp(PATH).rotate(90).toBuffer()
    const tagged = await sharp(PATH).withMetadata({ orientation: 6 }).png().toBuffer()
    expect(await latentsOf(tagged)).toEqual(await latentsOf(turned))
  })

  it('comes out as it would go in: PNG and floats are the same image', async () => {
    const args = { prompt: 'a cat', image: PATH, strength: 0.5, numInferenceSteps: 2 }
    const { images: floats } = await pipe.generate({ ...args, generator: new Generator(1), outputType: 'np' })
    const { images } = await pipe.generate({ ...args, generator: new Generator(1) })
    const { data } = await sharp(images[0]!).raw().toBuffer({ resolveWithObject: true })
    expect(floats.dims).toEqual([1, 64, 64, 3])
    const png = { data: Float32Array.from(data, (value) => value / 255), dims: floats.dims }
    expect(compare(png, floats).difference).toBeLessThanOrEqual(0.5 / 255 + 1e-6)
  })
})

describe("device 'auto'", () => {
  it('takes the best that works, and says why it is not a better one', async () => {
    const told: LoadProgress[] = []
    const pipe = await StableDiffusionImg2ImgPipeline.fromPretrained(tinyPipeline('tiny-sd1'), {
      sessionOptions: ON_CPU.sessionOptions,
      onProgress: (progress) => told.push(progress),
    })
    const better = candidates().slice(0, candidates().indexOf(pipe.device))
    const reasons = better.map((device) => expect.stringContaining(`Not using ${device}: `))
    expect(told).toContainEqual({ status: 'device', device: pipe.device, reasons })
    await expect(pipe.to('abacus' as 'cpu')).rejects.toThrow(/There is no device "abacus"/)
    expect(await pipe.to('cpu')).toBe(pipe)
    expect(pipe.device).toBe('cpu')
  })
})
