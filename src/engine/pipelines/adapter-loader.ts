/**
 * Loads LoRAs and textual inversions into a pipeline: diffusers' `StableDiffusionLoraLoaderMixin` and
 * `TextualInversionLoaderMixin`.
 */

import { readTextualInversion } from '../weights/textual-inversion.ts'
import { openWeightFile } from '../weights/weight-file.ts'
import { type AdapterFileOptions, adapterFile } from './adapter-file.ts'
import type { Components } from './components.ts'
import type { AdapterWeight, LoraComponent } from './lora-adapters.ts'
import type { ReadInversion } from './textual-inversions.ts'
import { wrong } from './wrong-argument.ts'

export interface LoraOptions extends AdapterFileOptions {
  readonly adapterName?: string | undefined
}

export interface TextualInversionOptions extends AdapterFileOptions {
  readonly token?: string | readonly string[] | undefined
}

/** What diffusers calls their files. */
const LORA_FILES = ['pytorch_lora_weights.safetensors', 'pytorch_lora_weights.bin']
const TEXTUAL_INVERSION_FILES = ['learned_embeds.safetensors', 'learned_embeds.bin']

/** What is loaded belongs to the components: pipelines that share them share it too. */
export abstract class AdapterLoader {
  abstract get components(): Components

  /**
   * Loads a LoRA beside those that are loaded, and uses it alone from the next call on, as diffusers does. The first one
   * opens the models anew, with room for any; further ones, and changes of weights, cost nothing.
   * @param path Its file, or a folder or a repository of the hub that holds it; `org/name/file.safetensors` is one file there.
   * @param options `adapterName`: what to call it, 'default_0' and so on where it is left out.
   * @returns Its name.
   * @throws EngineError 'argument' for a name that is taken; 'model' for what is no LoRA, of a kind that is not supported, or
   *   for a model of another family.
   */
  async loadLoraWeights(path: string, options: LoraOptions = {}): Promise<string> {
    const file = await adapterFile(path, LORA_FILES, options)
    return this.components.loras.load(openWeightFile(file), file, options.adapterName)
  }

  /**
   * Uses these LoRAs, and no others, from the next call on; a sampling that was begun keeps its own.
   * @param weights How much of each is added, by default 1: a number, or numbers by part; one for all, or a list.
   * @throws EngineError 'argument' for a name that is not loaded, or a weight that is no number.
   */
  setAdapters(names: string | readonly string[], weights?: AdapterWeight | readonly AdapterWeight[]): void {
    this.components.loras.setActive(names, weights)
  }

  getActiveAdapters(): string[] {
    return this.components.loras.active
  }

  /** The loaded LoRAs by the part that they change: `{ unet: ['pixel'], textEncoder: ['pixel'] }`. */
  getListAdapters(): Partial<Record<LoraComponent, string[]>> {
    return this.components.loras.list()
  }

  /** @throws EngineError 'argument' for a name that is not loaded. */
  deleteAdapters(names: string | readonly string[]): void {
    this.components.loras.delete(names)
  }

  /** Leaves the LoRAs out until `enableLora`, but for calls that name their own `adapters`. */
  disableLora(): void {
    this.components.loras.isEnabled = false
  }

  enableLora(): void {
    this.components.loras.isEnabled = true
  }

  unloadLoraWeights(): void {
    this.components.loras.clear()
  }

  /**
   * Adds words to the tokenizers, for this and later calls. The first opens the text encoders anew, with room for more.
   * SDXL's files, which hold vectors for both text encoders, take one call.
   * @param path A file, a folder or a repository of the hub that holds it, or a list of these.
   * @param options `token`: the word in a prompt, or a list of words for a list of files; by default what the file says, or
   *   its name. Where it has several vectors, the word stands for all of them.
   * @throws EngineError 'argument' for a word that is there already; 'model' for what is none, or of another family.
   */
  async loadTextualInversion(path: string | readonly string[], options: TextualInversionOptions = {}): Promise<void> {
    const paths = typeof path === 'string' ? [path] : path
    const tokens = tokensFor(paths, options.token)
    const inversions: ReadInversion[] = []
    for (const [i, one] of paths.entries()) {
      const file = await adapterFile(one, TEXTUAL_INVERSION_FILES, options)
      const inversion = readTextualInversion(openWeightFile(file), file)
      inversions.push({ path: file, inversion: { ...inversion, token: tokens[i] ?? inversion.token } })
    }
    await this.components.textualInversions.load(inversions)
  }

  /** @param tokens Left out, all of them. @throws EngineError 'argument' for a word that is not loaded. */
  unloadTextualInversion(tokens?: string | readonly string[]): void {
    this.components.textualInversions.unload(typeof tokens === 'string' ? [tokens] : tokens)
  }
}

/** The word for each file, where it is given. */
function tokensFor(
  paths: readonly string[],
  token: string | readonly string[] | undefined,
): readonly (string | undefined)[] {
  const tokens = typeof token === 'string' ? [token] : (token ?? paths.map(() => undefined))
  if (tokens.length === paths.length) return tokens
  throw wrong('token', paths.length === 1 ? 'one word' : `a list of ${paths.length} words, one a file`, token)
}
