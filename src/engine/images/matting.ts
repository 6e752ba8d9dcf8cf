/** A see-through ground for a drawn picture: matting from a known ground, which is the colour along its border. */

import type { Pixels } from './png.ts'

/** Distances in OKLab, where black and white are 1 apart: up to the first it is the ground, from the second it is not. */
const NEAR = 0.06
const FAR = 0.15
/** Where more of the border than this is far from its median, the picture has no ground of one colour. */
const MAX_OTHER_BORDER = 1 / 4
/** How far a mixture may lie off the line between its two colours, in steps of 8 bits: drawings are noisy. */
const MAX_RESIDUAL = 24

const [GROUND, EDGE] = [1, 2] as const

/**
 * The picture as RGBA, its ground clear. What has the ground's colour but is not connected to the border stays opaque,
 * such as the white of an eye. On the edges the ground is taken out of the colours again, so that no halo is left.
 * A picture comes back as it is where its border is not of one colour, or where nothing would be left of it.
 */
export function removeGround(picture: Pixels & { readonly channels: 3 }): Pixels {
  const { data, width, height } = picture
  const border = borderOf(width, height)
  const ground = [0, 1, 2].map((channel) => median(border.map((at) => data[at * 3 + channel]!))) as Colour
  const distance = distancesTo(ground, data)
  if (border.filter((at) => distance[at]! > FAR).length > border.length * MAX_OTHER_BORDER) return picture
  const parts = partsOf(distance, border, picture)
  if (parts.every((part) => part === GROUND)) return picture
  const clear = new Uint8Array(width * height * 4)
  for (const [at, part] of parts.entries()) {
    if (part === GROUND) continue
    const alpha = part === EDGE ? edgeAlpha(at, distance, parts, ground, picture) : 1
    for (let k = 0; k < 3; k++) {
      const unmixed = ground[k]! + (data[at * 3 + k]! - ground[k]!) / alpha
      clear[at * 4 + k] = Math.min(Math.max(Math.round(unmixed), 0), 255)
    }
    clear[at * 4 + 3] = Math.round(alpha * 255)
  }
  return { data: clear, width, height, channels: 4 }
}

type Colour = [number, number, number]

function borderOf(width: number, height: number): number[] {
  const last = (height - 1) * width
  const rows = Array.from({ length: width }, (_, x) => [x, last + x])
  const columns = Array.from({ length: height }, (_, y) => [y * width, y * width + width - 1])
  return [...new Set([...rows, ...columns].flat())]
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!
}

/** How wide an edge is, in pixels: large pictures are softer. */
function edgeWidth(width: number, height: number): number {
  return Math.min(Math.max(Math.round(Math.min(width, height) / 128), 2), 4)
}

/** The ground is flooded from the border; an edge climbs from there, away from the ground's colour. */
function partsOf(distance: Float32Array, border: readonly number[], { width, height }: Pixels): Uint8Array {
  const parts = new Uint8Array(distance.length)
  const queue = new Int32Array(distance.length)
  let end = 0
  const take = (at: number, part: number) => {
    parts[at] = part
    queue[end++] = at
  }
  const spread = (from: number, to: (next: number, at: number) => boolean, part: number) => {
    const at = queue[from]!
    const x = at % width
    for (const next of [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width, at + width])
      if (next >= 0 && next < parts.length && !parts[next] && to(next, at)) take(next, part)
  }
  for (const at of border) if (distance[at]! <= NEAR) take(at, GROUND)
  for (let from = 0; from < end; from++) spread(from, (next) => distance[next]! <= NEAR, GROUND)
  for (let step = 0, from = 0; step < edgeWidth(width, height); step++)
    for (const to = end; from < to; from++) spread(from, (next, at) => distance[next]! > distance[at]!, EDGE)
  return parts
}

/**
 * How much of an edge's pixel is the thing: its place on the line from the ground to a colour nearby which it may be
 * mixed with, and never more than its own distance from the ground allows.
 */
function edgeAlpha(
  at: number,
  distance: Float32Array,
  parts: Uint8Array,
  ground: Colour,
  { data, width, height }: Pixels,
): number {
  const from = (other: number) => [0, 1, 2].map((k) => data[other * 3 + k]! - ground[k]!) as Colour
  const own = from(at)
  const reach = edgeWidth(width, height)
  const [left, top] = [at % width, Math.floor(at / width)]
  let alpha = Math.min((distance[at]! - NEAR) / (FAR - NEAR), 1)
  for (let y = Math.max(top - reach, 0); y <= Math.min(top + reach, height - 1); y++)
    for (let x = Math.max(left - reach, 0); x <= Math.min(left + reach, width - 1); x++) {
      const other = y * width + x
      if (parts[other] === GROUND || distance[other]! <= distance[at]!) continue
      const line = from(other)
      const share = dot(own, line) / dot(line, line)
      const residual = Math.hypot(...own.map((value, k) => value - share * line[k]!))
      if (residual <= MAX_RESIDUAL) alpha = Math.min(alpha, share)
    }
  // An eighth of a step of 8 bits: it is written as clear, and nothing is divided by zero.
  return Math.max(alpha, 1 / 2048)
}

function dot(a: Colour, b: Colour): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

function distancesTo(ground: Colour, data: Uint8Array): Float32Array {
  const [l, a, b] = oklab(...ground)
  return Float32Array.from({ length: data.length / 3 }, (_, at) => {
    const colour = oklab(data[at * 3]!, data[at * 3 + 1]!, data[at * 3 + 2]!)
    return Math.hypot(colour[0] - l, colour[1] - a, colour[2] - b)
  })
}

/** What sRGB's 8 bits mean in linear light (IEC 61966-2-1). */
const LINEAR = Float64Array.from({ length: 256 }, (_, value) => {
  const v = value / 255
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
})

/** Björn Ottosson's OKLab (https://bottosson.github.io/posts/oklab/). */
function oklab(red: number, green: number, blue: number): Colour {
  const [r, g, b] = [LINEAR[red]!, LINEAR[green]!, LINEAR[blue]!]
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ]
}
