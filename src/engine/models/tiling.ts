/** Large images through the VAE in overlapping, linearly blended tiles, as diffusers' `autoencoder_kl.py` does it. */

import type { Tensor } from '../tensor.ts'

const OVERLAP = 0.25

/**
 * @param tile Side of a tile of `input`.
 * @param outTile Side of what `run` makes of it.
 */
export async function inTiles(
  input: Tensor,
  tile: number,
  outTile: number,
  run: (tile: Tensor) => Promise<Tensor>,
): Promise<Tensor> {
  const [, , height = 0, width = 0] = input.dims
  const stride = Math.trunc(tile * (1 - OVERLAP))
  const blend = Math.trunc(outTile * OVERLAP)
  const limit = outTile - blend
  const rows: Tensor[][] = []
  for (let top = 0; top < height; top += stride) {
    const row: Tensor[] = []
    for (let left = 0; left < width; left += stride) row.push(await run(crop(input, top, left, tile)))
    rows.push(row)
  }
  rows.forEach((row, i) => {
    row.forEach((current, j) => {
      if (i > 0) blendDown(rows[i - 1]![j]!, current, blend)
      if (j > 0) blendRight(row[j - 1]!, current, blend)
    })
  })
  return assemble(rows, limit)
}

function crop({ data, dims }: Tensor, top: number, left: number, side: number): Tensor {
  const [batch = 0, channels = 0, height = 0, width = 0] = dims
  const h = Math.min(side, height - top)
  const w = Math.min(side, width - left)
  const out = new Float32Array(batch * channels * h * w)
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < h; y++) {
      const from = (plane * height + top + y) * width + left
      out.set(data.subarray(from, from + w), (plane * h + y) * w)
    }
  return { data: out, dims: [batch, channels, h, w] }
}

/** The first rows of `below` fade in from the last rows of `above`, in place. */
function blendDown(above: Tensor, below: Tensor, extent: number): void {
  const [batch = 0, channels = 0, h = 0, w = 0] = below.dims
  const aboveHeight = above.dims[2]!
  const rows = Math.min(aboveHeight, h, extent)
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < rows; y++) {
      const a = (plane * aboveHeight + aboveHeight - rows + y) * w
      const b = (plane * h + y) * w
      for (let x = 0; x < w; x++)
        below.data[b + x] = above.data[a + x]! * (1 - y / rows) + below.data[b + x]! * (y / rows)
    }
}

function blendRight(before: Tensor, after: Tensor, extent: number): void {
  const [batch = 0, channels = 0, h = 0, w = 0] = after.dims
  const beforeWidth = before.dims[3]!
  const columns = Math.min(beforeWidth, w, extent)
  for (let line = 0; line < batch * channels * h; line++)
    for (let x = 0; x < columns; x++) {
      const a = before.data[(line + 1) * beforeWidth - columns + x]!
      const b = line * w + x
      after.data[b] = a * (1 - x / columns) + after.data[b]! * (x / columns)
    }
}

function assemble(rows: readonly (readonly Tensor[])[], limit: number): Tensor {
  const [batch = 0, channels = 0] = rows[0]![0]!.dims
  const heights = rows.map((row) => Math.min(limit, row[0]!.dims[2]!))
  const widths = rows[0]!.map((tile) => Math.min(limit, tile.dims[3]!))
  const height = heights.reduce((sum, h) => sum + h, 0)
  const width = widths.reduce((sum, w) => sum + w, 0)
  const out = new Float32Array(batch * channels * height * width)
  let top = 0
  rows.forEach((row, i) => {
    let left = 0
    row.forEach((tile, j) => {
      const [, , h = 0, w = 0] = tile.dims
      for (let plane = 0; plane < batch * channels; plane++)
        for (let y = 0; y < heights[i]!; y++) {
          const from = (plane * h + y) * w
          out.set(tile.data.subarray(from, from + widths[j]!), (plane * height + top + y) * width + left)
        }
      left += widths[j]!
    })
    top += heights[i]!
  })
  return { data: out, dims: [batch, channels, height, width] }
}
