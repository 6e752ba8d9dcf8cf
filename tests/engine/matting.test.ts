/** Grounds cleared away from drawings whose real transparency is known. */

import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { removeGround } from '../../src/engine/images/matting.ts'
import { encodePng, type Pixels } from '../../src/engine/images/png.ts'

const SIDE = 96
const RING = '<circle cx="48" cy="48" r="30" fill="none" stroke="#e06010" stroke-width="14"/>'
const DISC = '<circle cx="48.3" cy="47.6" r="33.7" fill="#103080"/>'
const SUN = DISC.replace('#103080', '#f0d020')

/** What librsvg draws, its edges smooth, on a ground. */
async function drawn(shape: string, ground: string): Promise<Pixels & { channels: 3 }> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}"><rect width="100%" height="100%" fill="${ground}"/>${shape}</svg>`
  const data = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer()
  return { data: new Uint8Array(data), width: SIDE, height: SIDE, channels: 3 }
}

const at = ({ data, width, channels }: Pixels, x: number, y: number) => [
  ...data.subarray((y * width + x) * channels, (y * width + x + 1) * channels),
]

/** The largest difference of any channel, once it lies on a ground. */
async function worst(clear: Pixels, ground: string, expected: Pixels): Promise<number> {
  const { width, height, channels } = clear
  const flat = await sharp(clear.data, { raw: { width, height, channels } })
    .flatten({ background: ground })
    .raw()
    .toBuffer()
  return flat.reduce((most, value, i) => Math.max(most, Math.abs(value - expected.data[i]!)), 0)
}

describe('removeGround', () => {
  it('clears what is outside a ring, and neither the ring nor what it encloses', async () => {
    const clear = removeGround(await drawn(RING, 'white'))
    expect(clear.channels).toBe(4)
    expect(at(clear, 0, 0)).toEqual([0, 0, 0, 0])
    expect(at(clear, 48, 4)[3]).toBe(0)
    expect(at(clear, 48, 18)).toEqual([0xe0, 0x60, 0x10, 255])
    expect(at(clear, 48, 48)).toEqual([255, 255, 255, 255])
  })

  it.each([
    ['white', 'black', DISC],
    ['white', '#36393f', DISC],
    ['#20c020', 'white', DISC],
    ['#102010', '#ffe0ff', SUN],
  ])('leaves no halo: what was drawn on %s looks on %s as if it was drawn there', async (ground, other, shape) => {
    const clear = removeGround(await drawn(shape, ground))
    expect(clear.data.filter((value, i) => i % 4 === 3 && value > 0 && value < 255).length).toBeGreaterThan(20)
    expect(await worst(clear, ground, await drawn(shape, ground))).toBeLessThan(40)
    expect(await worst(clear, other, await drawn(shape, other))).toBeLessThan(40)
  })

  it('stands a ground that is not quite even, as a decoder leaves it', async () => {
    const picture = await drawn(DISC, '#f8f8f8')
    const clear = removeGround({ ...picture, data: picture.data.map((value, i) => value + ((i * 7) % 11) - 5) })
    expect(at(clear, 2, 50)[3]).toBe(0)
    expect(clear.data.filter((value, i) => i % 4 === 3 && value === 0).length).toBeGreaterThan(SIDE * SIDE * 0.5)
  })

  it('keeps a picture whose border is not of one colour, and one that is nothing but ground', async () => {
    const half = await drawn('<rect width="48" height="96" fill="#802020"/>', '#208020')
    expect(removeGround(half)).toBe(half)
    const empty = await drawn('', 'white')
    expect(removeGround(empty)).toBe(empty)
  })

  it('clears the ground where the thing touches a part of the border', async () => {
    const clear = removeGround(await drawn('<rect x="30" y="40" width="30" height="56" fill="#802020"/>', 'white'))
    expect([at(clear, 45, 95), at(clear, 5, 95)[3]]).toEqual([[0x80, 0x20, 0x20, 255], 0])
  })

  it('stands any picture, and never changes what it was given', () => {
    const picture = fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
      .chain(([width, height]) =>
        fc
          .array(fc.constantFrom(0, 1, 128, 250, 255), { minLength: width * height * 3, maxLength: width * height * 3 })
          .map((values) => ({ data: Uint8Array.from(values), width, height, channels: 3 as const })),
      )
    fc.assert(
      fc.property(picture, (given) => {
        const before = given.data.slice()
        const { data, channels } = removeGround(given)
        expect(data.length).toBe(given.width * given.height * channels)
        expect(given.data).toEqual(before)
      }),
    )
  })
})

describe('a see-through PNG', () => {
  it('is enlarged without the ground coming back at its edges', async () => {
    const png = await encodePng(removeGround(await drawn(DISC, 'white')), { upscale: 4 })
    expect(await sharp(png).metadata()).toMatchObject({ width: SIDE * 4, hasAlpha: true })
    const { data } = await sharp(png).flatten({ background: 'black' }).raw().toBuffer({ resolveWithObject: true })
    const red = data.filter((_, i) => i % 3 === 0)
    expect(red.reduce((most, value) => Math.max(most, value), 0)).toBeLessThan(0x10 + 40)
  })
})
