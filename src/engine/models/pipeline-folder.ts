/** A pipeline's folder in Stable Diffusion's layout: its `model_index.json`, its parts' configs, and which graph file to load. */

import { existsSync, readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EngineError } from '../errors.ts'
import { chooseGraph, type Dtype } from './graph-choice.ts'
import type { GraphFile } from './onnx-runtime-model.ts'

/** A JSON object whose keys are looked up and checked where they are used. */
export type Config = Readonly<Record<string, unknown>>

export const HOW_TO_EXPORT =
  "export it with `pip install 'optimum-onnx[onnxruntime]' && optimum-cli export onnx --model NAME FOLDER`"

export class PipelineFolder {
  readonly path: string
  /** `model_index.json`. */
  readonly index: Config

  private constructor(path: string, index: Config) {
    this.path = path
    this.index = index
  }

  /** @throws EngineError 'model' when `path` is no pipeline, or one without ONNX graphs. */
  static async open(path: string): Promise<PipelineFolder> {
    if (!existsSync(path)) throw new EngineError('model', `There is no folder ${path}; check the path.`)
    if (!statSync(path).isDirectory())
      throw new EngineError('model', `${path} is a file; give the folder of a pipeline, with its model_index.json.`)
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

  /** A part that `model_index.json` names and the folder holds; SDXL's refiner names a text encoder and has none. */
  has(part: string): boolean {
    return this.#graphs(part).length > 0
  }

  /** Whether the part has a file of that precision, by the files' names. */
  hasGraph(part: string, dtype: Dtype): boolean {
    return chooseGraph(this.#graphs(part), dtype, false) !== undefined
  }

  join(...names: string[]): string {
    return join(this.path, ...names)
  }

  /** The JSON file at that place, or nothing. */
  async config(...names: string[]): Promise<Config | undefined> {
    return readConfig(this.join(...names))
  }

  /**
   * @param onGpu Whether 'auto' should prefer half precision.
   * @throws EngineError 'model' when the part has no graph, or none of the wanted dtype.
   */
  graph(part: string, dtype: Dtype, onGpu: boolean): GraphFile {
    const names = this.#graphs(part)
    if (names.length === 0) throw missingGraph(this.path, part)
    const choice = chooseGraph(names, dtype, onGpu)
    if (!choice) throw wrongDtype(join(this.path, part), names, dtype)
    const path = this.join(part, choice.name)
    return choice.fp32Name === undefined ? { part, path } : { part, path, fp32Path: this.join(part, choice.fp32Name) }
  }

  /** Not those that begin with a dot: rewritten attention is kept so beside the graph that it was made from. */
  #graphs(part: string): string[] {
    const folder = this.join(part)
    if (!existsSync(folder)) return []
    return readdirSync(folder)
      .filter((name) => name.endsWith('.onnx') && !name.startsWith('.'))
      .sort()
  }
}

function missingGraph(path: string, part: string): EngineError {
  const torch = [part, 'unet'].some((name) => hasTorchWeights(join(path, name)))
  const why = torch ? "its weights are PyTorch's" : `${part}/model.onnx is missing`
  // optimum can tell a hub repository's task, and no folder's.
  const here = HOW_TO_EXPORT.replace('NAME', `"${path}" --task text-to-image`)
  const what = torch ? here : `download the model again, or ${HOW_TO_EXPORT}`
  return new EngineError('model', `${path} holds no ONNX graph of the ${part} (${why}): ${what}.`)
}

function wrongDtype(path: string, names: readonly string[], dtype: Dtype): EngineError {
  return new EngineError('model', `${path} has no ${dtype} file, only ${names.join(', ')}; use dtype 'auto'.`)
}

function hasTorchWeights(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => /\.(safetensors|bin|ckpt|pt)$/.test(name))
}

/** The JSON file at that place, or nothing. @throws EngineError 'model' where it is damaged */
export async function readConfig(path: string): Promise<Config | undefined> {
  if (!existsSync(path)) return undefined
  try {
    const value: unknown = JSON.parse(withoutInfinity(await readFile(path, 'utf8')))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Config
  } catch (error) {
    throw damaged(path, error)
  }
  throw damaged(path)
}

/** Python writes infinite numbers by name (diffusers: `"lambda_min_clipped": -Infinity`), which JSON does not know. */
function withoutInfinity(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|\bInfinity\b/g, (token) => (token === 'Infinity' ? '1e999' : token))
}

function damaged(path: string, cause?: unknown): EngineError {
  return new EngineError(
    'model',
    `${path} is no JSON object: it is damaged or half-downloaded; download the model again.`,
    {
      cause,
    },
  )
}
