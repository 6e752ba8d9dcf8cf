/** A pipeline whose weights are PyTorch's: its graphs are written from its configs, and read their weights where they lie. */

import type { Config } from '../config-file.ts'
import type { Device } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import type { OnnxGraph } from '../graph/onnx-file.ts'
import { writeClipTextModel } from '../graph/write/clip-text.ts'
import type { WriteOptions } from '../graph/write/graph-builder.ts'
import { writeSafetyChecker } from '../graph/write/safety-checker.ts'
import { writeUNet } from '../graph/write/unet.ts'
import { writeVaeDecoder, writeVaeEncoder } from '../graph/write/vae.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { CLIPTokenizer } from '../text/clip-tokenizer.ts'
import { clipVocabulary } from '../text/clip-vocabulary.ts'
import type { Checkpoint, CheckpointPart, PartWeights } from '../weights/checkpoint.ts'
import type { ConfigOwner, GraphPart, PipelineSource } from './pipeline-source.ts'

type Write = (config: Config, weights: PartWeights['weights'], options: WriteOptions) => OnnxGraph

/** Whose weights each graph has, and what writes it. */
const GRAPHS: Readonly<Record<GraphPart, { readonly part: CheckpointPart; readonly write: Write }>> = {
  unet: { part: 'unet', write: writeUNet },
  vae_decoder: { part: 'vae', write: writeVaeDecoder },
  vae_encoder: { part: 'vae', write: writeVaeEncoder },
  text_encoder: { part: 'text_encoder', write: writeClipTextModel },
  text_encoder_2: { part: 'text_encoder_2', write: writeClipTextModel },
  safety_checker: { part: 'safety_checker', write: writeSafetyChecker },
}

export class CheckpointSource implements PipelineSource {
  readonly #checkpoint: Checkpoint

  constructor(checkpoint: Checkpoint) {
    this.#checkpoint = checkpoint
  }

  get path(): string {
    return this.#checkpoint.path
  }

  get index(): Config {
    return this.#checkpoint.index
  }

  has(part: GraphPart): boolean {
    return this.#checkpoint.parts.has(GRAPHS[part].part)
  }

  async config(of: ConfigOwner): Promise<Config | undefined> {
    const { parts, scheduler, featureExtractor, generation } = this.#checkpoint
    switch (of) {
      case 'scheduler':
        return scheduler
      case 'feature_extractor':
        return featureExtractor
      case 'generation':
        return generation
      default:
        return parts.get(of)?.config
    }
  }

  graph(part: GraphPart, dtype: Dtype, device: Device): GraphSource {
    const own = this.#checkpoint.parts.get(GRAPHS[part].part)
    if (!own) throw new EngineError('model', `${this.path} has no ${part}; take a model that has one.`)
    if (part === 'unet') return this.#unet(own, isHalf(dtype, device), false)
    const { write } = GRAPHS[part]
    return writtenGraph(part, this.path, dtype, device, (options) => write(own.config, own.weights, options))
  }

  #unet(own: PartWeights, half: boolean, residuals: boolean): GraphSource {
    const unet = (half: boolean, residuals: boolean) => this.#unet(own, half, residuals)
    return {
      part: 'unet',
      path: this.path,
      read: () => writeUNet(own.config, own.weights, { half, residuals }),
      get withResiduals() {
        return unet(half, true)
      },
      get withoutResiduals() {
        return unet(half, false)
      },
      ...(half && { fp32: unet(false, residuals) }),
    }
  }

  async tokenizer(name: 'tokenizer' | 'tokenizer_2', textEncoder: Config): Promise<CLIPTokenizer> {
    const own = this.#checkpoint.tokenizers.get(name)
    if (own === undefined) throw new EngineError('model', `${this.path} has no ${name}; take a model that has one.`)
    if (typeof own === 'string') return CLIPTokenizer.fromFolder(own, textEncoder)
    return new CLIPTokenizer(await clipVocabulary(), own, textEncoder)
  }

  async weightFiles(): Promise<readonly string[]> {
    const files = new Set<string>()
    for (const { weights } of this.#checkpoint.parts.values())
      for (const name of weights.names()) {
        const path = weights.get(name)?.path
        if (path !== undefined) files.add(path)
      }
    return [...files].sort()
  }
}

/** Half precision is a GPU's: a CPU computes in float32, and half weights become that when they are loaded. */
function isHalf(dtype: Dtype, device: Device): boolean {
  return dtype !== 'fp32' && device !== 'cpu'
}

/** A graph that is written in the precision that the dtype means on the device. */
export function writtenGraph(
  part: string,
  path: string,
  dtype: Dtype,
  device: Device,
  write: (options: WriteOptions) => OnnxGraph,
): GraphSource {
  const fp32 = { part, path, read: () => write({}) }
  return isHalf(dtype, device) ? { part, path, read: () => write({ half: true }), fp32 } : fp32
}
