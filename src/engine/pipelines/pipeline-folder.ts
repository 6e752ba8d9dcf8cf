/** A pipeline's folder in Stable Diffusion's layout: its `model_index.json`, its parts' configs, and which graph file to load. */

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, readConfig } from '../config-file.ts'
import type { Device } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { exportedGraph, type GraphSource } from '../graph/graph-source.ts'
import { requireOwnFiles } from '../links.ts'
import { chooseGraph, type Dtype } from '../models/graph-choice.ts'
import { CLIPTokenizer } from '../text/clip-tokenizer.ts'
import { namesIn } from '../weights/part-weights.ts'
import type { ConfigOwner, GraphPart, PipelineSource } from './pipeline-source.ts'

/** What lies in a part's folder beside its graph and weights, or belongs to other programs. */
const NOT_WEIGHTS = /^\.|\.(json|txt|md|py|safetensors|bin|msgpack|h5|ckpt|pt)$/i

/** In order of preference: the decoder's config stands for the VAE's where an export split it. */
const CONFIGS: Readonly<Record<ConfigOwner, readonly string[]>> = {
  unet: ['unet/config.json'],
  vae: ['vae_decoder/config.json', 'vae/config.json'],
  text_encoder: ['text_encoder/config.json'],
  text_encoder_2: ['text_encoder_2/config.json'],
  scheduler: ['scheduler/scheduler_config.json'],
  feature_extractor: ['feature_extractor/preprocessor_config.json'],
  generation: ['generation_config.json'],
}

export class PipelineFolder implements PipelineSource {
  readonly path: string
  /** `model_index.json`. */
  readonly index: Config

  private constructor(path: string, index: Config) {
    this.path = path
    this.index = index
  }

  /** Whether the folder is an export, and not PyTorch's. */
  static holdsGraphs(path: string): boolean {
    return new PipelineFolder(path, {}).has('unet')
  }

  /** @throws EngineError 'model' when `path` is no pipeline, or one without ONNX graphs. */
  static async open(path: string): Promise<PipelineFolder> {
    if (!existsSync(path)) throw new EngineError('model', `There is no folder ${path}; check the path.`)
    if (!statSync(path).isDirectory())
      throw new EngineError('model', `${path} is a file; give the folder of a pipeline, with its model_index.json.`)
    requireOwnFiles(path)
    const index = await readConfig(join(path, 'model_index.json'))
    if (!index)
      throw new EngineError(
        'model',
        `${path} is no pipeline: it has no model_index.json; give the folder that has one.`,
      )
    const folder = new PipelineFolder(path, index)
    if (folder.#graphs('unet').length === 0) throw missingGraph(folder.path, 'unet')
    return folder
  }

  has(part: GraphPart): boolean {
    return this.#graphs(part).length > 0
  }

  async config(of: ConfigOwner): Promise<Config | undefined> {
    for (const name of CONFIGS[of]) {
      const config = await readConfig(join(this.path, name))
      if (config) return config
    }
    return undefined
  }

  graph(part: GraphPart, dtype: Dtype, device: Device): GraphSource {
    const names = this.#graphs(part)
    if (names.length === 0) throw missingGraph(this.path, part)
    const onGpu = device !== 'cpu'
    // The precision is the UNet's to have; parts that were exported in another one go along.
    const choice = chooseGraph(names, dtype, onGpu) ?? (part === 'unet' ? undefined : chooseGraph(names, 'auto', onGpu))
    if (!choice) throw wrongDtype(join(this.path, part), names, dtype)
    const pathOf = (name: string) => join(this.path, part, name)
    return exportedGraph(part, pathOf(choice.name), choice.fp32Name && pathOf(choice.fp32Name))
  }

  tokenizer(name: string, textEncoder: Config): Promise<CLIPTokenizer> {
    return CLIPTokenizer.fromFolder(join(this.path, name), textEncoder)
  }

  async weightFiles(): Promise<readonly string[]> {
    // `.git`, `.cache`, and what is made from a model's files beside them, are not its weights.
    const parts = readdirSync(this.path, { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'))
    const files = parts
      .map(({ name }) => join(this.path, name))
      .filter((part) => statSync(part, { throwIfNoEntry: false })?.isDirectory())
      .flatMap((part) =>
        readdirSync(part)
          .filter((name) => !NOT_WEIGHTS.test(name))
          .map((name) => join(part, name)),
      )
    // A folder in a part's folder, or a link to nothing, holds no weights that the pipeline could have opened.
    return files.filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile()).sort()
  }

  /** Not those that begin with a dot: earlier versions left rewritten graphs so beside those that they were made from. */
  #graphs(part: string): string[] {
    return namesIn(join(this.path, part))
      .filter((name) => name.endsWith('.onnx') && !name.startsWith('.'))
      .sort()
  }
}

function missingGraph(path: string, part: string): EngineError {
  return new EngineError(
    'model',
    `${path} holds no ONNX graph of the ${part} (${part}/model.onnx is missing): download the model again, or give the` +
      " folder or file of PyTorch's weights, which open as they are.",
  )
}

function wrongDtype(path: string, names: readonly string[], dtype: Dtype): EngineError {
  return new EngineError('model', `${path} has no ${dtype} file, only ${names.join(', ')}; use dtype 'auto'.`)
}
