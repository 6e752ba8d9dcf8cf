/** A pipeline's folder in Stable Diffusion's layout: its `model_index.json`, its parts' configs, and which graph file to load. */

import { existsSync, readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EngineError } from '../errors.ts'
import type { GraphFile } from './onnx-runtime-model.ts'

/** 'auto' takes half precision where the device is a GPU and the folder has it, else the file without a mark. */
export type Dtype = 'auto' | 'fp32' | 'fp16'

/** A JSON object whose keys are looked up and checked where they are used. */
export type Config = Readonly<Record<string, unknown>>

const HOW_TO_EXPORT =
  'export it with `pip install optimum-onnx[onnxruntime] && optimum-cli export onnx --model NAME FOLDER`'

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

  join(...names: string[]): string {
    return join(this.path, ...names)
  }

  /** The JSON file at that place, or nothing. */
  async config(...names: string[]): Promise<Config | undefined> {
    return readConfig(this.join(...names))
  }

  /**
   * @param onGpu Whether 'auto' should prefer half precision.
   * @throws EngineError 'model' when the part has no graph, or the UNet none of the wanted dtype.
   */
  graph(part: string, dtype: Dtype, onGpu: boolean): GraphFile {
    const names = this.#graphs(part)
    const half = names.find(isHalf)
    const full = names.find((name) => name === 'model.onnx') ?? names.find((name) => !isHalf(name))
    if (dtype === 'fp16' && !half && part === 'unet' && names[0] !== 'model.onnx')
      throw wrongDtype(this.path, names, dtype)
    if (dtype === 'fp32' && !full) throw wrongDtype(join(this.path, part), names, dtype)
    const wantsHalf = dtype === 'fp16' || (dtype === 'auto' && onGpu)
    const name = (wantsHalf ? (half ?? full) : (full ?? half)) ?? names[0]
    if (name === undefined) throw missingGraph(this.path, part)
    const path = this.join(part, name)
    return name === half && full ? { part, path, fp32Path: this.join(part, full) } : { part, path }
  }

  #graphs(part: string): string[] {
    const folder = this.join(part)
    if (!existsSync(folder)) return []
    return readdirSync(folder)
      .filter((name) => name.endsWith('.onnx'))
      .sort()
  }
}

/** `model_fp16.onnx`, `model.fp16.onnx`. */
function isHalf(name: string): boolean {
  return /(?:fp|float)16/i.test(name)
}

function missingGraph(path: string, part: string): EngineError {
  const torch = [part, 'unet'].some((name) => hasTorchWeights(join(path, name)))
  const why = torch ? 'its weights are PyTorch’s' : `${part}/model.onnx is missing`
  const what = torch ? HOW_TO_EXPORT : `download the model again, or ${HOW_TO_EXPORT}`
  return new EngineError('model', `${path} holds no ONNX graph of the ${part} (${why}): ${what}.`)
}

function wrongDtype(path: string, names: readonly string[], dtype: Dtype): EngineError {
  return new EngineError('model', `${path} has no ${dtype} file, only ${names.join(', ')}; use dtype 'auto'.`)
}

function hasTorchWeights(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => /\.(safetensors|bin|ckpt|pt)$/.test(name))
}

async function readConfig(path: string): Promise<Config | undefined> {
  if (!existsSync(path)) return undefined
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Config
  } catch (error) {
    throw damaged(path, error)
  }
  throw damaged(path)
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
