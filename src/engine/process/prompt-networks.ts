/** What a prompt names beside words: the LoRAs and embeddings of the operator's folder, loaded when they are first named. */

import { statSync } from 'node:fs'
import type { ModelFile } from '../catalog/models-folder.ts'
import { EngineError } from '../errors.ts'
import type { AdapterSelection } from '../pipelines/lora-adapters.ts'
import type { StableDiffusionPipeline } from '../pipelines/stable-diffusion-pipeline.ts'
import { type LoraReference, networkNamed, parseExtraNetworks } from '../text/extra-networks.ts'

/** A prompt without what named LoRAs, and how much of each it wants. */
export interface PromptWithAdapters {
  readonly prompt: string
  readonly adapters: readonly AdapterSelection[]
}

/** So many LoRAs stay loaded in one model; each takes some megabytes to some hundred. */
const MOST_LOADED = 8

/** The LoRAs and embeddings of one open model. */
export class PromptNetworks {
  readonly #pipeline: StableDiffusionPipeline
  /** The loaded LoRAs' adapter names, the least recently used first, by path and time: a file that was replaced is another. */
  readonly #loras = new Map<string, string>()
  /** Embeddings that were tried: loaded, or of another family. */
  readonly #embeddings = new Set<string>()

  constructor(pipeline: StableDiffusionPipeline) {
    this.#pipeline = pipeline
  }

  /**
   * Loads what the prompts name. Embeddings stand in either prompt by their file's name, as in AUTOMATIC1111; one of another
   * family is left as the word that it is.
   * @throws EngineError 'argument' for a LoRA that there is not, with the nearest names, and for one that does not fit.
   */
  async load(prompt: string, negativePrompt: string, files: readonly ModelFile[]): Promise<PromptWithAdapters> {
    const parsed = parseExtraNetworks(prompt)
    await this.#loadEmbeddings(
      `${parsed.prompt}\n${negativePrompt}`,
      files.filter(({ kind }) => kind === 'embedding'),
    )
    const loras = files.filter(({ kind }) => kind === 'lora')
    const adapters: AdapterSelection[] = []
    for (const reference of parsed.loras) adapters.push(await this.#adapter(reference, loras))
    await this.#unloadOldest(adapters)
    return { prompt: parsed.prompt, adapters }
  }

  async #adapter(reference: LoraReference, files: readonly ModelFile[]): Promise<AdapterSelection> {
    const file = networkNamed(reference.name, files, 'LoRA')
    const key = keyOf(file)
    const name = this.#loras.get(key) ?? (await this.#loadLora(file, key))
    this.#loras.delete(key)
    this.#loras.set(key, name)
    const { unetWeight, textEncoderWeight } = reference
    return {
      name,
      weight: { unet: unetWeight, textEncoder: textEncoderWeight, textEncoder2: textEncoderWeight },
    }
  }

  /** Whoever named a LoRA that does not fit can name another; where it lies is not for them. */
  async #loadLora(file: ModelFile, key: string): Promise<string> {
    try {
      return await this.#pipeline.loadLoraWeights(file.path, { adapterName: key })
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== 'model') throw error
      const message = error.message.replaceAll(file.path, `The LoRA ${file.name}`)
      throw new EngineError('argument', message, { cause: error })
    }
  }

  async #unloadOldest(used: readonly AdapterSelection[]): Promise<void> {
    for (const [key, name] of this.#loras) {
      if (this.#loras.size <= MOST_LOADED) return
      if (used.some((one) => one.name === name)) continue
      this.#loras.delete(key)
      this.#pipeline.deleteAdapters(name)
    }
  }

  async #loadEmbeddings(text: string, files: readonly ModelFile[]): Promise<void> {
    const written = text.toLowerCase()
    for (const file of files) {
      const key = keyOf(file)
      if (this.#embeddings.has(key) || !written.includes(file.name.toLowerCase())) continue
      this.#embeddings.add(key)
      try {
        await this.#pipeline.loadTextualInversion(file.path, { token: file.name })
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
      }
    }
  }
}

function keyOf({ path }: ModelFile): string {
  return `${path} ${statSync(path).mtimeMs}`
}
