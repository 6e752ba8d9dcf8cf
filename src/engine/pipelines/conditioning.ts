/** What a batch's rows are conditioned on: text with and without guidance, SDXL's sizes, a distilled model's guidance. */

import { concatRows, type Tensor } from '../tensor.ts'
import type { PromptEmbeds } from '../text/prompt-encoder.ts'

/** Rows as the UNet takes them: with guidance, the negative prompts' rows come first. */
export interface Conditioning {
  readonly encoderHiddenStates: Tensor
  readonly textEmbeds?: Tensor
  readonly timeIds?: Tensor
  readonly timestepCond?: Tensor
}

/** Each prompt's rows once for each of its images, the images of a prompt side by side, as diffusers orders them. */
export function textRows(
  prompts: readonly PromptEmbeds[],
  negative: readonly PromptEmbeds[] | undefined,
  numImagesPerPrompt: number,
): { encoderHiddenStates: Tensor; textEmbeds?: Tensor } {
  const rows = [...(negative ?? []), ...prompts].flatMap((embeds) => Array(numImagesPerPrompt).fill(embeds))
  const pooled = (rows as PromptEmbeds[]).flatMap(({ pooledPromptEmbeds }) => pooledPromptEmbeds ?? [])
  return {
    encoderHiddenStates: concatRows(sameLength((rows as PromptEmbeds[]).map(({ promptEmbeds }) => promptEmbeds))),
    ...(pooled.length > 0 && { textEmbeds: concatRows(pooled) }),
  }
}

/** SDXL: zeros stand for an absent negative prompt where the model was trained so. */
export function zerosLike(embeds: PromptEmbeds): PromptEmbeds {
  const { promptEmbeds, pooledPromptEmbeds } = embeds
  return {
    promptEmbeds: zeros(promptEmbeds.dims),
    ...(pooledPromptEmbeds && { pooledPromptEmbeds: zeros(pooledPromptEmbeds.dims) }),
  }
}

/**
 * The guidance scale as sinusoids of width `dims` (diffusers' `get_guidance_scale_embedding`, after google-research/vdm),
 * the same for every row.
 */
export function guidanceScaleEmbedding(guidanceScale: number, rows: number, dims: number): Tensor {
  const half = Math.floor(dims / 2)
  const step = Math.fround(Math.fround(Math.log(10000)) / (half - 1))
  const w = Math.fround(Math.fround(guidanceScale - 1) * 1000)
  const row = new Float32Array(dims)
  for (let i = 0; i < half; i++) {
    const angle = Math.fround(w * Math.fround(Math.exp(Math.fround(i * -step))))
    row[i] = Math.sin(angle)
    row[half + i] = Math.cos(angle)
  }
  return repeatRow(row, rows)
}

/** The same numbers for every row. */
export function repeatRow(row: ArrayLike<number>, rows: number): Tensor {
  const data = new Float32Array(rows * row.length)
  for (let i = 0; i < rows; i++) data.set(row, i * row.length)
  return { data, dims: [rows, row.length] }
}

/**
 * Prompts of different lengths share a batch: repeating a whole context k times changes nothing in attention, where each
 * key's weight is shared k ways. A length that does not divide the longest is filled up with its own beginning.
 */
function sameLength(rows: readonly Tensor[]): Tensor[] {
  const longest = Math.max(...rows.map(({ dims }) => dims[1]!))
  return rows.map((row) => {
    const [, tokens = 0, width = 0] = row.dims
    if (tokens === longest) return row
    const data = new Float32Array(longest * width)
    for (let at = 0; at < longest; at += tokens)
      data.set(row.data.subarray(0, Math.min(tokens, longest - at) * width), at * width)
    return { data, dims: [1, longest, width] }
  })
}

function zeros(dims: readonly number[]): Tensor {
  return { data: new Float32Array(dims.reduce((product, dim) => product * dim, 1)), dims }
}
