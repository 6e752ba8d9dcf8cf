/** From a prompt to what conditions the UNet, through one text encoder or SDXL's two; what was encoded before is kept. */

import type { LoraFeeds } from '../models/lora-branches.ts'
import type { CLIPTextModel } from '../models/text-encoder.ts'
import type { Tensor } from '../tensor.ts'
import type { CLIPTokenizer } from './clip-tokenizer.ts'
import { type PromptChunk, promptChunks } from './prompt-chunks.ts'

export interface TextPart {
  readonly tokenizer: CLIPTokenizer
  readonly textEncoder: CLIPTextModel
}

export interface PromptOptions {
  /** Layers of the text encoder to leave out: 1 = the last but one's output. */
  readonly clipSkip?: number
  /** Read weights, `BREAK` and any length as AUTOMATIC1111 does; otherwise the text stands as it is and is cut. */
  readonly promptWeighting?: boolean
}

export interface PromptEmbeds {
  /** `[1, tokens, width]`; tokens are a multiple of the context length. */
  readonly promptEmbeds: Tensor
  /** SDXL: `[1, width]`. */
  readonly pooledPromptEmbeds?: Tensor
}

/** Enough for a conversation's prompts: an SDXL one takes 0.6 MB. */
const KEPT = 32

export class PromptEncoder {
  readonly parts: readonly TextPart[]
  /** Layers of the text encoders that the model itself leaves out: SDXL 1, SD 1 and 2 none. */
  readonly layersFromEnd: number
  readonly #kept = new Map<string, Promise<PromptEmbeds>>()

  constructor(parts: readonly TextPart[], layersFromEnd: number) {
    this.parts = parts
    this.layersFromEnd = layersFromEnd
  }

  /** The highest `clipSkip` for which every text encoder has a layer left. @throws EngineError 'model' for a broken file */
  maxClipSkip(): number {
    const skippable = this.parts.map(({ textEncoder }) => textEncoder.skippableLayers(this.layersFromEnd === 0))
    return Math.max(0, Math.min(...skippable) - this.layersFromEnd)
  }

  /** The same text with the same options and LoRAs is encoded once. */
  encode(
    prompt: string,
    { clipSkip = 0, promptWeighting = false }: PromptOptions = {},
    lora?: LoraFeeds,
  ): Promise<PromptEmbeds> {
    const key = `${clipSkip} ${promptWeighting} ${lora?.textKey ?? ''} ${prompt}`
    const embeds = this.#kept.get(key) ?? this.#encode(prompt, this.layersFromEnd + clipSkip, promptWeighting, lora)
    this.#kept.delete(key)
    this.#kept.set(key, embeds)
    embeds.catch(() => this.#kept.delete(key))
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    return embeds
  }

  /** Forgets what was encoded, as a change of device or precision asks for. */
  clear(): void {
    this.#kept.clear()
  }

  async #encode(
    prompt: string,
    layersFromEnd: number,
    weighting: boolean,
    lora: LoraFeeds | undefined,
  ): Promise<PromptEmbeds> {
    const encoded: PromptEmbeds[] = []
    for (const { tokenizer, textEncoder } of this.parts) {
      const chunks = weighting ? promptChunks(tokenizer, prompt) : [plainChunk(tokenizer, prompt)]
      encoded.push(await encodeChunks(textEncoder, chunks, layersFromEnd, this.layersFromEnd === 0, lora))
    }
    const pooled = encoded.at(-1)!.pooledPromptEmbeds
    return {
      promptEmbeds: sideBySide(encoded.map(({ promptEmbeds }) => promptEmbeds)),
      ...(pooled && { pooledPromptEmbeds: pooled }),
    }
  }
}

function plainChunk(tokenizer: CLIPTokenizer, prompt: string): PromptChunk {
  const ids = tokenizer.encode(prompt)
  return { ids, weights: ids.map(() => 1) }
}

/** The contexts' states one after another; the first context's pooled state stands for all, as in AUTOMATIC1111. */
async function encodeChunks(
  textEncoder: CLIPTextModel,
  chunks: readonly PromptChunk[],
  layersFromEnd: number,
  normalised: boolean,
  lora: LoraFeeds | undefined,
): Promise<PromptEmbeds> {
  // The rows that these ids mean, whatever is loaded before the last context is read.
  const feeds = { ...textEncoder.addedRows.feeds, ...lora?.byPart.get(textEncoder.model.part) }
  const states: Tensor[] = []
  let pooledPromptEmbeds: Tensor | undefined
  for (const { ids, weights } of chunks) {
    const { hiddenStates, textEmbeds } = await textEncoder.encode([ids], layersFromEnd, normalised, feeds)
    states.push(weighted(hiddenStates, weights))
    pooledPromptEmbeds ??= textEmbeds
  }
  const promptEmbeds = oneAfterAnother(states)
  return { promptEmbeds, ...(pooledPromptEmbeds && { pooledPromptEmbeds }) }
}

/** Each token's state times its weight, then all of them by what brings their mean back. */
function weighted(states: Tensor, weights: readonly number[]): Tensor {
  if (weights.every((weight) => weight === 1)) return states
  const width = states.dims[2]!
  const data = states.data.map((value, i) => value * weights[Math.floor(i / width)]!)
  const restore = mean(states.data) / mean(data)
  return { data: Number.isFinite(restore) ? data.map((value) => value * restore) : data, dims: states.dims }
}

function mean(data: Float32Array): number {
  let sum = 0
  for (const value of data) sum += value
  return sum / data.length
}

function oneAfterAnother(states: readonly Tensor[]): Tensor {
  if (states.length === 1) return states[0]!
  const [, tokens = 0, width = 0] = states[0]!.dims
  const data = new Float32Array(states.length * tokens * width)
  states.forEach((state, i) => {
    data.set(state.data, i * tokens * width)
  })
  return { data, dims: [1, states.length * tokens, width] }
}

/** Both encoders' states of a token joined on the last axis; a shorter text is filled up with its last context again. */
function sideBySide(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0]!
  const tokens = Math.max(...parts.map(({ dims }) => dims[1]!))
  const width = parts.reduce((sum, { dims }) => sum + dims[2]!, 0)
  const data = new Float32Array(tokens * width)
  let left = 0
  for (const part of parts) {
    const [, own = 0, partWidth = 0] = part.dims
    for (let token = 0; token < tokens; token++) {
      const from = (token % own) * partWidth
      data.set(part.data.subarray(from, from + partWidth), token * width + left)
    }
    left += partWidth
  }
  return { data, dims: [1, tokens, width] }
}
