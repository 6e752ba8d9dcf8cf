/** What a batch's rows are conditioned on: text with and without guidance, SDXL's sizes, a distilled model's guidance. */

import { EngineError } from '../errors.ts'
import type { Task } from '../families/family.ts'
import type { LoraFeeds } from '../models/lora-branches.ts'
import type { Conditioning } from '../models/unet.ts'
import { concatRows, type Tensor } from '../tensor.ts'
import type { PromptEmbeds } from '../text/prompt-encoder.ts'
import { type GenerateArguments, negativePromptList, promptList } from './arguments.ts'
import type { Components } from './components.ts'

type TextRows = Pick<Conditioning, 'encoderHiddenStates' | 'textEmbeds'>

export interface ConditioningOptions {
  readonly task: Task
  /** Pixels. */
  readonly height: number
  readonly width: number
  /** Images in all. */
  readonly batch: number
  readonly guidanceScale: number
  readonly usesGuidance: boolean
  readonly lora: LoraFeeds | undefined
}

/** Encodes the prompts, those that were not encoded before, and adds what the UNet takes beside them. */
export async function conditioningOf(
  components: Components,
  args: GenerateArguments,
  options: ConditioningOptions,
): Promise<Conditioning> {
  const { unet } = components
  const { batch, guidanceScale, usesGuidance } = options
  const text = await encodePrompts(components, args, options)
  const rows = usesGuidance ? 2 * batch : batch
  return {
    ...text,
    ...timeIds(components, options, text.textEmbeds?.dims[1] ?? 0),
    ...(unet.timeCondProjDim && { timestepCond: guidanceScaleEmbedding(guidanceScale, rows, unet.timeCondProjDim) }),
  }
}

async function encodePrompts(
  { promptEncoder, config, family }: Components,
  args: GenerateArguments,
  { usesGuidance, lora }: ConditioningOptions,
): Promise<TextRows> {
  const prompts = promptList(args)
  const { promptWeighting = false, clipSkip = 0, numImagesPerPrompt = 1 } = args
  const encodeAll = async (texts: readonly string[], skip: number) => {
    const encoded: PromptEmbeds[] = []
    for (const text of texts) encoded.push(await promptEncoder.encode(text, { promptWeighting, clipSkip: skip }, lora))
    return encoded
  }
  const encoded = await encodeAll(prompts, clipSkip)
  if (!usesGuidance) return textRows(encoded, undefined, numImagesPerPrompt)
  const negativePrompts = negativePromptList(args, family.spreadsNegativePrompt)
  if (negativePrompts === undefined && family.zerosForNoPrompt(config))
    return textRows(encoded, encoded.map(zerosLike), numImagesPerPrompt)
  // diffusers skips layers for the prompt alone, AUTOMATIC1111 for both.
  const negative = await encodeAll(negativePrompts ?? prompts.map(() => ''), promptWeighting ? clipSkip : 0)
  return textRows(encoded, negative, numImagesPerPrompt)
}

function timeIds(
  { unet, config, family }: Components,
  { task, height, width, batch, usesGuidance }: ConditioningOptions,
  pooledWidth: number,
): Pick<Conditioning, 'timeIds'> {
  const ids = family.timeIds?.(config, task, height, width)
  if (!ids) return {}
  const wanted = unet.timeIdsLength(pooledWidth)
  if (ids.positive.length !== wanted)
    throw new EngineError(
      'model',
      `The UNet takes ${wanted} time ids but this pipeline makes ${ids.positive.length}; set requires_aesthetics_score to` +
        ` ${wanted === 5} in model_index.json, or give an image.`,
    )
  const positive = repeatRow(ids.positive, batch)
  return { timeIds: usesGuidance ? concatRows([repeatRow(ids.negative, batch), positive]) : positive }
}

/** Each prompt's rows once for each of its images, the images of a prompt side by side, as diffusers orders them. */
function textRows(
  prompts: readonly PromptEmbeds[],
  negative: readonly PromptEmbeds[] | undefined,
  numImagesPerPrompt: number,
): TextRows {
  const rows = [...(negative ?? []), ...prompts].flatMap((embeds) => Array(numImagesPerPrompt).fill(embeds))
  const pooled = (rows as PromptEmbeds[]).flatMap(({ pooledPromptEmbeds }) => pooledPromptEmbeds ?? [])
  return {
    encoderHiddenStates: concatRows(sameLength((rows as PromptEmbeds[]).map(({ promptEmbeds }) => promptEmbeds))),
    ...(pooled.length > 0 && { textEmbeds: concatRows(pooled) }),
  }
}

/** SDXL: zeros stand for an absent negative prompt where the model was trained so. */
function zerosLike(embeds: PromptEmbeds): PromptEmbeds {
  const { promptEmbeds, pooledPromptEmbeds } = embeds
  return {
    promptEmbeds: zerosOf(promptEmbeds.dims),
    ...(pooledPromptEmbeds && { pooledPromptEmbeds: zerosOf(pooledPromptEmbeds.dims) }),
  }
}

/**
 * The guidance scale as sinusoids of width `dims` (diffusers' `get_guidance_scale_embedding`, after google-research/vdm),
 * the same for every row.
 */
function guidanceScaleEmbedding(guidanceScale: number, rows: number, dims: number): Tensor {
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
function repeatRow(row: ArrayLike<number>, rows: number): Tensor {
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

function zerosOf(dims: readonly number[]): Tensor {
  return { data: new Float32Array(dims.reduce((product, dim) => product * dim, 1)), dims }
}
