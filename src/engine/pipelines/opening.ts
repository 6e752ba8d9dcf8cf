/** Opens a pipeline's graphs on the device that was asked for, or on the best that works. */

import type { InferenceSession } from 'onnxruntime-node'
import { type CacheSetting, cacheFolder } from '../cache/cache-folder.ts'
import { bestDevice, candidates, type Device, lacksHardware, prepareToTry, unavailable } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { findLayers } from '../graph/find-layers.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import { rewriteAttention } from '../graph/rewrite-attention.ts'
import { rewriteInt8 } from '../graph/rewrite-int8.ts'
import { rewriteLora } from '../graph/rewrite-lora.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { OnnxRuntimeModel, type Rewrites, type SessionSettings } from '../models/onnx-runtime-model.ts'
import { withResiduals } from '../models/unet.ts'
import type { GraphPart, PipelineSource } from './pipeline-source.ts'

export interface LoadOptions {
  /** Which precision to load. Default 'auto'. */
  readonly dtype?: Dtype | undefined
  /** Where to run. 'auto' (default) takes the best that works here and tells why it is not a better one. */
  readonly device?: Device | 'auto' | undefined
  /** For the pipelines with a ControlNet: its folder in diffusers' layout or its file in either layout, or several. */
  readonly controlnet?: string | readonly string[] | undefined
  /** Opens the models with room for LoRAs at once, where the first that is loaded would open them anew. */
  readonly loras?: boolean | undefined
  /** Passed to ONNX Runtime for each part: threads, memory arena … */
  readonly sessionOptions?: InferenceSession.SessionOptions | undefined
  /**
   * Where Seedling keeps what it makes of large models: optimised copies, which open in a fraction of the time and memory, and
   * weights in int8. Default: `SEEDLING_CACHE`, or `seedling` in `XDG_CACHE_HOME` or `~/.cache`, of at most
   * `SEEDLING_CACHE_GB` gigabytes (20). `null` or `false` keeps nothing.
   */
  readonly cacheDir?: CacheSetting
}

export interface LoadListeners {
  /** Where 'auto' ended, and why each better device is not used. */
  readonly onDevice: (device: Device, reasons: readonly string[]) => void
  /** A part is about to be opened. */
  readonly onPart: (part: string) => void
  /** A sentence that the person should read: a device that cannot be used, a change to float32. */
  readonly onNotice: (message: string) => void
}

/** Whether 'auto' prefers half precision, as far as that can be known before a session is open. */
export function prefersHalf({ device = 'auto', dtype }: LoadOptions): boolean {
  if (dtype === 'int8') return false
  return (device === 'auto' ? bestDevice() : device) !== 'cpu'
}

export interface UNetForm {
  /** It begins with its attention fused, where its device has the operator: far less memory, the same output. */
  readonly fuses: boolean
  /** It takes what ControlNets add. */
  readonly takesResiduals: boolean
}

/**
 * Core ML has no fused operator. WebGPU's gave other numbers than the CPU's with ONNX Runtime 1.30 on SwiftShader (by 2 % of a
 * UNet's output, where the attention that is written out was within 3e-5); no real card was tried.
 */
const UNFUSED: ReadonlySet<Device> = new Set<Device>(['coreml', 'webgpu'])

/** One pipeline being opened: the UNet first, which does nearly all the work and so decides which device 'auto' becomes. */
export class Opening {
  readonly #source: PipelineSource
  readonly #options: LoadOptions
  readonly #listeners: LoadListeners
  readonly #opened: OnnxRuntimeModel[] = []
  #device: Device = 'cpu'

  constructor(source: PipelineSource, options: LoadOptions, listeners: LoadListeners) {
    this.#source = source
    this.#options = options
    this.#listeners = listeners
  }

  /** @throws EngineError */
  async unet(form: UNetForm): Promise<OnnxRuntimeModel> {
    const model = await this.#onDevice((device) => this.#unetOn(device, form))
    this.#device = model.device
    return model
  }

  /** A part of the model, opened as `beside` has it. @throws EngineError */
  part(part: Exclude<GraphPart, 'unet'>, wanted: Dtype | undefined = this.#options.dtype): Promise<OnnxRuntimeModel> {
    return this.beside((dtype, device) => this.#source.graph(part, wanted ?? dtype, device))
  }

  /** Goes where the UNet is; under 'auto', what cannot run there runs on the CPU, aloud. @throws EngineError */
  async beside(graph: (dtype: Dtype, device: Device) => GraphSource): Promise<OnnxRuntimeModel> {
    const { dtype = 'auto', device = 'auto' } = this.#options
    const source = graph(dtype, this.#device)
    try {
      return await this.#open(source, this.#device)
    } catch (error) {
      if (device !== 'auto' || this.#device === 'cpu' || !isDeviceError(error)) throw error
      this.#listeners.onNotice(`The ${source.part} runs on the CPU: ${error.message}`)
      return this.#open(graph(dtype, 'cpu'), 'cpu')
    }
  }

  /** A part that most requests never need: it is opened when it is first run. @throws EngineError 'model' */
  partLater(part: Exclude<GraphPart, 'unet'>, dtype: Dtype = this.#options.dtype ?? 'auto'): OnnxRuntimeModel {
    const model = OnnxRuntimeModel.later(this.#source.graph(part, dtype, this.#device), this.#settings(this.#device))
    this.#opened.push(model)
    return model
  }

  /** Frees whatever was opened. */
  async undo(): Promise<void> {
    await Promise.all(this.#opened.map((model) => model.release()))
  }

  async #onDevice(open: (device: Device) => Promise<OnnxRuntimeModel>): Promise<OnnxRuntimeModel> {
    const { device = 'auto' } = this.#options
    if (device !== 'auto') {
      const why = unavailable(device)
      if (why) throw new EngineError('device', `The device '${device}' cannot be used: ${why}; or use device 'cpu'.`)
      return open(device)
    }
    const reasons: string[] = []
    for (const candidate of candidates()) {
      const absent = this.#runsOn(candidate) ?? lacksHardware(candidate)
      const why = absent ?? unavailable(candidate)
      if (why) {
        reasons.push(`Not using ${candidate}: ${why}.`)
        if (!absent) this.#listeners.onNotice(reasons.at(-1)!)
        continue
      }
      prepareToTry(candidate)
      try {
        const model = await open(candidate)
        this.#listeners.onDevice(candidate, reasons)
        return model
      } catch (error) {
        if (candidate === 'cpu' || !isDeviceError(error)) throw error
        reasons.push(`Not using ${candidate}: ${error.message}`)
        this.#listeners.onNotice(reasons.at(-1)!)
      }
    }
    throw new EngineError('device', "No device works here; use device 'cpu'.")
  }

  /** Why the asked dtype has nothing to run on there. */
  #runsOn(device: Device): string | undefined {
    return this.#options.dtype === 'int8' && device !== 'cpu' ? "dtype 'int8' runs on the CPU alone" : undefined
  }

  /** It is opened fused at once, since a large one takes long to open, and twice the memory while another takes its place. */
  async #unetOn(device: Device, { fuses, takesResiduals }: UNetForm): Promise<OnnxRuntimeModel> {
    const plain = this.#source.graph('unet', this.#options.dtype ?? 'auto', device)
    const source = takesResiduals ? withResiduals(plain) : plain
    if (!fuses || UNFUSED.has(device)) return this.#checked(await this.#open(source, device))
    try {
      return await this.#checked(await this.#open(source, device, { attention: rewriteAttention('fused') }))
    } catch (error) {
      // What is wrong with the export itself is better said by opening that.
      const model = await this.#checked(await this.#open(source, device))
      const why = (error as Error).message
      this.#listeners.onNotice(`Attention is not fused, so large images take more memory: ${why}`)
      return model
    }
  }

  /** An export's file without a mark may be of either precision: only the open graph tells. */
  async #checked(model: OnnxRuntimeModel): Promise<OnnxRuntimeModel> {
    const { dtype = 'auto' } = this.#options
    const { exported } = model.source
    const isEither = dtype === 'auto' || dtype === 'int8'
    if (exported === undefined || isEither || model.isHalf === (dtype === 'fp16')) return model
    await model.release()
    const is = model.isHalf ? 'fp16' : 'fp32'
    throw new EngineError(
      'model',
      `${exported} is ${is}, not ${dtype}; use dtype 'auto', or a model that has ${dtype} files.`,
    )
  }

  async #open(source: GraphSource, device: Device, wanted: Rewrites = {}): Promise<OnnxRuntimeModel> {
    this.#listeners.onPart(source.part)
    const model = await OnnxRuntimeModel.load(source, this.#settings(device), {
      ...this.#standing(source),
      ...wanted,
    })
    this.#opened.push(model)
    return model
  }

  /** Rewrites that hold for as long as the model is open. */
  #standing(source: GraphSource): Rewrites {
    const { loras, dtype, cacheDir } = this.#options
    const mayHaveLoras = loras === true && /^(?:unet|text_encoder)/.test(source.part)
    return {
      ...(mayHaveLoras && findLayers(source.read()).length > 0 && { lora: rewriteLora }),
      ...(source.part === 'unet' && dtype === 'int8' && { precision: rewriteInt8(cacheFolder(cacheDir)) }),
    }
  }

  #settings(device: Device): SessionSettings {
    const { sessionOptions, cacheDir } = this.#options
    return { device, onNotice: this.#listeners.onNotice, cacheDir, ...(sessionOptions && { sessionOptions }) }
  }
}

function isDeviceError(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === 'device'
}
