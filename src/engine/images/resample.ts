/** Resizing as diffusers' images go through it: Pillow's to the bit (`libImaging/Resample.c`), and torch's to the nearest pixel. */

export interface Bitmap {
  /** Eight bits a channel, rows from the top. */
  readonly data: Uint8Array | Uint8ClampedArray
  readonly width: number
  readonly height: number
  readonly channels: number
}

export type Filter = 'lanczos' | 'bicubic'

/** Pillow's fixed-point weights have so many bits behind the point. */
const PRECISION_BITS = 32 - 8 - 2

const FILTERS: Record<Filter, { support: number; weight: (x: number) => number }> = {
  lanczos: { support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
  bicubic: { support: 2, weight: bicubic },
}

export function resize(image: Bitmap, width: number, height: number, filter: Filter): Bitmap {
  const narrow = width === image.width ? image : resizeRows(image, width, filter)
  return height === image.height ? narrow : transpose(resizeRows(transpose(narrow), height, filter))
}

/** torch's `interpolate` in its default mode: for each output index the floor of it times a float32 scale. */
export function nearestIndices(inSize: number, outSize: number): Uint32Array {
  const scale = Math.fround(inSize / outSize)
  return Uint32Array.from({ length: outSize }, (_, out) => Math.min(Math.floor(Math.fround(out * scale)), inSize - 1))
}

/** For each output pixel: the first input pixel that counts, and the weights from there on. */
function weightsOf(inSize: number, outSize: number, filter: Filter): { from: number; weights: Int32Array }[] {
  const { support, weight } = FILTERS[filter]
  const scale = inSize / outSize
  const filterScale = Math.max(scale, 1)
  const reach = support * filterScale
  return Array.from({ length: outSize }, (_, out) => {
    const center = (out + 0.5) * scale
    const from = Math.max(Math.trunc(center - reach + 0.5), 0)
    const to = Math.min(Math.trunc(center + reach + 0.5), inSize)
    const raw = Array.from({ length: to - from }, (_, i) => weight((i + from - center + 0.5) / filterScale))
    const sum = raw.reduce((total, w) => total + w, 0)
    return {
      from,
      weights: Int32Array.from(raw, (w) => {
        const fixed = (w / sum) * 2 ** PRECISION_BITS
        return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5)
      }),
    }
  })
}

function resizeRows({ data, width, height, channels }: Bitmap, outWidth: number, filter: Filter): Bitmap {
  const out = new Uint8ClampedArray(outWidth * height * channels)
  weightsOf(width, outWidth, filter).forEach(({ from, weights }, x) => {
    for (let y = 0; y < height; y++)
      for (let channel = 0; channel < channels; channel++) {
        let sum = 1 << (PRECISION_BITS - 1)
        for (let i = 0; i < weights.length; i++) sum += data[(y * width + from + i) * channels + channel]! * weights[i]!
        out[(y * outWidth + x) * channels + channel] = sum >> PRECISION_BITS
      }
  })
  return { data: out, width: outWidth, height, channels }
}

function transpose({ data, width, height, channels }: Bitmap): Bitmap {
  const out = new Uint8ClampedArray(data.length)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < channels; channel++)
        out[(x * height + y) * channels + channel] = data[(y * width + x) * channels + channel]!
  return { data: out, width: height, height: width, channels }
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI)
}

function bicubic(x: number): number {
  const a = -0.5
  const d = Math.abs(x)
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0
}
