/** Pictures as files: the same bytes each time, parameters that come back as they went in, hostile files refused. */

import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.ts'
import { toBitmaps } from '../../src/engine/images/image-processor.ts'
import { colourPatches, fitLatentRgb, knownLatentRgb, latentsToRgb } from '../../src/engine/images/latent-rgb.ts'
import { formatParameters, type Parameters, parseParameters } from '../../src/engine/images/parameters.ts'
import { encodePng } from '../../src/engine/images/png.ts'
import { readPngText, writePngText } from '../../src/engine/images/png-text.ts'
import { encodePreview } from '../../src/engine/images/preview.ts'
import type { Tensor } from '../../src/engine/tensor.ts'

const pixels = {
  data: Uint8Array.from({ length: 16 * 8 * 3 }, (_, index) => (index * 37) % 256),
  width: 16,
  height: 8,
  channels: 3 as const,
}

const parameters: Parameters = {
  prompt: 'a red apple',
  negativePrompt: '',
  numInferenceSteps: 20,
  guidanceScale: 4,
  seed: 1,
  variations: [],
  width: 64,
  height: 64,
  upscale: 1,
  transparent: false,
  scheduler: 'DDIMScheduler',
  modelHash: '0123456789',
  model: 'emoji',
  version: 'Seedling 0.1.0',
}

describe('encodePng', () => {
  it('keeps every pixel, repeats byte for byte and carries its parameters', async () => {
    const png = await encodePng(pixels, { parameters: 'a red apple' })
    expect(await encodePng(pixels, { parameters: 'a red apple' })).toEqual(png)
    expect([...(await sharp(png).raw().toBuffer())]).toEqual([...pixels.data])
    expect(readPngText(png, 'parameters')).toBe('a red apple')
  })

  it('enlarges by the factor that is asked for', async () => {
    const png = await encodePng(pixels, { upscale: 4 })
    expect(await sharp(png).metadata()).toMatchObject({ width: 64, height: 32, channels: 3 })
    expect(readPngText(png, 'parameters')).toBeUndefined()
  })
})

describe('toBitmaps', () => {
  it('rounds what is half-way to the even number, as numpy does', () => {
    const data = Float32Array.of(0.5 / 255, 1.5 / 255, 2.5 / 255, 3.5 / 255)
    const [bitmap] = toBitmaps({ data, dims: [1, 2, 2, 1] })
    expect([...bitmap!.data]).toEqual([0, 2, 2, 4])
  })
})

describe('encodePng with blur', () => {
  it('leaves nothing of a pattern, at any size', async () => {
    const board = Uint8Array.from(
      { length: 64 * 64 * 3 },
      (_, i) => ((Math.floor(i / 3) + Math.floor(i / 192)) % 2) * 255,
    )
    for (const upscale of [1, 4]) {
      const png = await encodePng({ data: board, width: 64, height: 64, channels: 3 }, { blur: true, upscale })
      const { channels } = await sharp(png).stats()
      for (const { stdev } of channels) expect(stdev).toBeLessThan(10)
    }
  })
})

describe('latents as colours', () => {
  // A VAE that any fit must find: latents are a linear map of colours.
  const encode = ({ data, dims: [n, , side] }: Tensor): Tensor => {
    const small = side! / 4
    const latents = new Float32Array(n! * 4 * small ** 2)
    for (let image = 0; image < n!; image++)
      for (let pixel = 0; pixel < small ** 2; pixel++) {
        const [x, y] = [(pixel % small) * 4, Math.floor(pixel / small) * 4]
        const [r, g, b] = [0, 1, 2].map((k) => data[((image * 3 + k) * side! + y) * side! + x]!) as [
          number,
          number,
          number,
        ]
        const values = [r - g, 2 * b + 1, r + g + b, 0]
        for (const [c, value] of values.entries()) latents[(image * 4 + c) * small ** 2 + pixel] = value
      }
    return { data: latents, dims: [n!, 4, small, small] }
  }

  it('are fitted to a VAE that nobody published a map of, even with a channel that says nothing', () => {
    const images = colourPatches(4, 4)
    const latents = encode(images)
    const map = fitLatentRgb(latents, images)
    const pixels = latents.dims[2]! * latents.dims[3]!
    const first = { data: latents.data.subarray(0, 4 * pixels), dims: [1, 4, 16, 16] }
    const rgb = latentsToRgb(first, map)
    for (const [x, y] of [
      [0, 0],
      [5, 9],
      [15, 15],
    ] as const) {
      for (let k = 0; k < 3; k++) {
        const drawn = images.data[(k * 64 + y * 4) * 64 + x * 4]!
        expect(Math.abs(rgb[(y * 16 + x) * 3 + k]! - (drawn + 1) * 127.5)).toBeLessThan(2)
      }
    }
  })

  it('of Stable Diffusion are known', () => {
    const grey = { data: new Float32Array(4), dims: [1, 4, 1, 1] }
    expect([...latentsToRgb(grey, knownLatentRgb(4, 0.18215)!)]).toEqual([128, 128, 128])
    expect([...latentsToRgb(grey, knownLatentRgb(4, 0.13025)!)]).toEqual([141, 125, 127])
    expect(knownLatentRgb(16, 0.18215)).toBeUndefined()
    expect(knownLatentRgb(4, 0.5)).toBeUndefined()
  })

  it('stand side by side in a small picture', async () => {
    const map = {
      factors: [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ] as const,
      bias: [0, 0, 0] as const,
    }
    const flat = (...rgb: number[]) => ({
      data: Float32Array.from({ length: 3 * 64 * 32 }, (_, i) => rgb[Math.floor(i / (64 * 32))]!),
      dims: [1, 3, 64, 32],
    })
    const png = await encodePreview([flat(1, -1, -1), flat(-1, 1, -1), flat(-1, -1, 1)], map, 8)
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
    expect(info).toMatchObject({ width: 128, height: 256 })
    const at = (x: number, y: number) => [...data.subarray((y * 128 + x) * 3, (y * 128 + x) * 3 + 3)]
    expect([at(20, 40), at(100, 40), at(20, 200), at(100, 200)]).toEqual([
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [0, 0, 0],
    ])
  })
})

describe('parameters', () => {
  it("are AUTOMATIC1111's text", () => {
    expect(formatParameters(parameters)).toBe(
      'a red apple\n' +
        'Steps: 20, Sampler: DDIM, CFG scale: 4, Seed: 1, Size: 64x64, Model hash: 0123456789, Model: emoji, RNG: CPU, Version: Seedling 0.1.0',
    )
    const full = {
      ...parameters,
      negativePrompt: 'leaves, stalk',
      clipSkip: 2,
      variations: [
        { seed: 7, strength: 0.25 },
        { seed: 4294967295, strength: 0.1 },
      ],
      upscale: 2,
      transparent: true,
    }
    expect(formatParameters(full)).toBe(
      'a red apple\nNegative prompt: leaves, stalk\n' +
        'Steps: 20, Sampler: DDIM, CFG scale: 4, Seed: 1, Size: 64x64, Model hash: 0123456789, Model: emoji, RNG: CPU, Clip skip: 2, ' +
        'Variation seed: "7, 4294967295", Variation seed strength: "0.25, 0.1", Hires upscale: 2, Hires upscaler: Lanczos, Transparent: true, ' +
        'Version: Seedling 0.1.0',
    )
  })

  const hostile = fc.constantFrom(
    '\n',
    'Negative prompt: ',
    'Steps: 1, Seed: 2, Size: 3x4',
    '"',
    '\\',
    ', ',
    ': ',
    '\0',
    '𝕏',
  )
  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.array(fc.oneof(hostile, fc.string()), { maxLength: 8 }).map((parts) => parts.join('')),
  )
  const seed = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const complete = fc.record({
    prompt: text,
    negativePrompt: text,
    numInferenceSteps: fc.integer({ min: 1, max: 1000 }),
    guidanceScale: fc.double({ min: 0, max: 30, noNaN: true }).map((value) => value + 0),
    seed,
    variations: fc.array(
      fc.record({ seed, strength: fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0) }),
      { maxLength: 4 },
    ),
    width: fc.integer({ min: 8, max: 8192 }),
    height: fc.integer({ min: 8, max: 8192 }),
    upscale: fc.constantFrom(1, 2, 4),
    transparent: fc.boolean(),
    scheduler: fc.constantFrom('DDIMScheduler', 'EulerAncestralDiscreteScheduler', 'TCDScheduler'),
    modelHash: fc.stringMatching(/^[0-9a-f]{10}$/),
    model: text,
    version: fc.constant('Seedling 0.1.0'),
  })
  const clipSkip = fc.integer({ min: 1, max: 12 })
  const anything: fc.Arbitrary<Parameters> = fc.oneof(
    complete,
    fc.tuple(complete, clipSkip).map(([made, clipSkip]) => ({ ...made, clipSkip })),
  )

  it('come back from the picture as they went in, whatever the prompts are', async () => {
    const png = await encodePng(pixels)
    fc.assert(
      fc.property(anything, (made) => {
        const file = writePngText(png, 'parameters', formatParameters(made))
        expect(parseParameters(readPngText(file, 'parameters')!)).toEqual(made)
      }),
    )
  })

  it('of another program are read where they are complete', () => {
    const theirs =
      'a cat, (fluffy:1.2)\nNegative prompt: blurry\nSteps: 28, Sampler: Euler a, CFG scale: 7.5, Seed: 965400086, Size: 512x768, Model hash: 45dee52b, Lora hashes: "a: b, c: d"'
    expect(parseParameters(theirs)).toMatchObject({
      prompt: 'a cat, (fluffy:1.2)',
      negativePrompt: 'blurry',
      scheduler: 'EulerAncestralDiscreteScheduler',
      seed: 965400086,
      width: 512,
      height: 768,
      modelHash: '45dee52b',
    })
  })

  it.each([
    ['', /lack/],
    ['a cat', /lack/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: -1, Size: 64x64', /Seed “-1”/],
    ['a cat\nSteps: many, CFG scale: 7, Seed: 1, Size: 64x64', /Steps “many”/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64', /Size “64”/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64x64, Hires upscale: 100', /Hires upscale “100”/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64x64, Transparent: 50 %', /Transparent “50 %”/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64x64, Clip skip: some', /Clip skip “some”/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64x64, Variation seed: 1', /lack Variation seed strength/],
    ['a cat\nSteps: 20, CFG scale: 7, Seed: 1, Size: 64x64, Variation seed: 1, Variation seed strength: 2', /“2”/],
  ])('that are wrong give one sentence: %j', (text, sentence) => {
    expect(() => parseParameters(text)).toThrow(sentence)
  })

  it('that are noise never do anything but parse or say what is wrong', () => {
    fc.assert(
      fc.property(text, (noise) => {
        try {
          parseParameters(noise)
        } catch (error) {
          expect(error).toBeInstanceOf(EngineError)
        }
      }),
    )
  })
})

describe('readPngText', () => {
  it('refuses what is no PNG', () => {
    expect(() => readPngText(Buffer.from('GIF89a'), 'parameters')).toThrow(/no PNG/)
    expect(() => readPngText(Buffer.alloc(0), 'parameters')).toThrow(/no PNG/)
  })

  it('refuses a file cut off anywhere before its text ends, and one with a flipped bit in the text', async () => {
    const png = await encodePng(pixels, { parameters: 'a réd apple\n你好' })
    const end = png.indexOf('你好') + Buffer.byteLength('你好') + 4
    for (let length = 8; length < end; length++) {
      expect(() => readPngText(png.subarray(0, length), 'parameters')).toThrow(/damaged/)
    }
    png[end - 6]! ^= 1
    expect(() => readPngText(png, 'parameters')).toThrow(/damaged/)
  })

  it('refuses a chunk that claims to be huge, or unpacks to something huge', async () => {
    const png = await encodePng(pixels)
    const huge = Buffer.from(png)
    huge.writeUInt32BE(0xfffffff0, 33)
    expect(() => readPngText(huge, 'parameters')).toThrow(/damaged/)
    const bomb = await sharp(png).withIccProfile('srgb').png().toBuffer()
    expect(readPngText(bomb, 'parameters')).toBeUndefined()
    expect(() => readPngText(writePngText(png, 'parameters', 'x'.repeat(2 ** 21)), 'parameters')).toThrow(/damaged/)
  })

  it('reads compressed text as Pillow writes it, and stops where it unpacks to too much', async () => {
    const { deflateSync, crc32 } = await import('node:zlib')
    const png = await encodePng(pixels)
    const withZtxt = (value: string) => {
      const body = Buffer.concat([
        Buffer.from('zTXtparameters\0\0', 'latin1'),
        deflateSync(Buffer.from(value, 'latin1')),
      ])
      const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)]
      length.writeUInt32BE(body.length - 4)
      crc.writeUInt32BE(crc32(body))
      return Buffer.concat([png.subarray(0, 33), length, body, crc, png.subarray(33)])
    }
    expect(readPngText(withZtxt('café'), 'parameters')).toBe('café')
    expect(() => readPngText(withZtxt('x'.repeat(2 ** 24)), 'parameters')).toThrow(/damaged/)
  })
})
