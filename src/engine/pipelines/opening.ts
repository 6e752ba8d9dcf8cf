/** Opens a pipeline's graphs on the device that was asked for, or on the best that works. */

import type { InferenceSession } from 'onnxruntime-node'
import { type CacheSetting, cacheFolder } from '../cache/cache-folder.ts'
import { bestDevice, candidates, type Device, lacksHardware, prepareToTry, unavailable } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { rewriteAttention } from '../graph/rewrite-attention.ts'
import { rewriteInt8 } from '../graph/rewrite-int8.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { OnnxRuntimeModel, type Rewrites, type SessionSettings } from '../models/onnx-runtime-model.ts'
import type { GraphPart, PipelineSource } from './pipeline-source.ts'

export interface LoadOptions {
  /** Which precision to load. Default 'auto'. */
  readonly dtype?: Dtype | undefined
  /** Where to run. 'auto' (default) takes the best that works here and tells why it is not a better one. */
  readonly device?: Device | 'auto' | undefined
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

  /**
   * @param fuses Whether it begins with its attention fused, where its device has the operator: far less memory, the same
   *   output.
   * @throws EngineError
   */
  async unet(fuses: boolean): Promise<OnnxRuntimeModel> {
    const model = await this.#onDevice((device) => this.#unetOn(device, fuses))
    this.#device = model.device
    return model
  }

  /** Goes where the UNet is; under 'auto', a part that cannot run there runs on the CPU, aloud. @throws EngineError */
  async part(part: Exclude<GraphPart, 'unet'>, dtype?: Dtype): Promise<OnnxRuntimeModel> {
    try {
      return await this.#open(part, this.#device, dtype)
    } catch (error) {
      const mayMove = (this.#options.device ?? 'auto') === 'auto' && this.#device !== 'cpu'
      if (!mayMove || !isDeviceError(error)) throw error
      this.#listeners.onNotice(`The ${part} runs on the CPU: ${error.message}`)
      return this.#open(part, 'cpu', dtype)
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
  async #unetOn(device: Device, fuses: boolean): Promise<OnnxRuntimeModel> {
    const { dtype } = this.#options
    if (!fuses || device === 'coreml') return this.#checked(await this.#open('unet', device, dtype))
    try {
      return await this.#checked(await this.#open('unet', device, dtype, { attention: rewriteAttention('fused') }))
    } catch (error) {
      // What is wrong with the export itself is better said by opening that.
      const model = await this.#checked(await this.#open('unet', device, dtype))
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

  async #open(
    part: GraphPart,
    device: Device,
    dtype: Dtype | undefined = this.#options.dtype,
    rewrites?: Rewrites,
  ): Promise<OnnxRuntimeModel> {
    const graph = this.#source.graph(part, dtype ?? 'auto', device)
    this.#listeners.onPart(part)
    const model = await OnnxRuntimeModel.load(graph, this.#settings(device), {
      ...rewrites,
      ...(part === 'unet' && dtype === 'int8' && { precision: rewriteInt8(cacheFolder(this.#options.cacheDir)) }),
    })
    this.#opened.push(model)
    return model
  }

  #settings(device: Device): SessionSettings {
    const { sessionOptions, cacheDir } = this.#options
    return { device, onNotice: this.#listeners.onNotice, cacheDir, ...(sessionOptions && { sessionOptions }) }
  }
}

function isDeviceError(error: unknown): error is EngineError {
  return error instanceof EngineError && error.code === 'device'
}
