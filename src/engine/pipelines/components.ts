/** A pipeline's parts, opened from its folder; pipelines made from each other's components share them. */

import type { InferenceSession } from 'onnxruntime-node'
import { bestDevice, candidates, type Device, lacksHardware, unavailable } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { type Family, familyOf } from '../families/family.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import { rewriteAttention } from '../graph/rewrite-attention.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { OnnxRuntimeModel, type Rewrites } from '../models/onnx-runtime-model.ts'
import type { Config, PipelineFolder } from '../models/pipeline-folder.ts'
import { StableDiffusionSafetyChecker } from '../models/safety-checker.ts'
import { CLIPTextModel } from '../models/text-encoder.ts'
import { sampleSizeOf, UNet2DConditionModel } from '../models/unet.ts'
import { AutoencoderKL } from '../models/vae.ts'
import { schedulerFromConfig } from '../schedulers/index.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import { CLIPTokenizer } from '../text/clip-tokenizer.ts'
import { PromptEncoder, type TextPart } from '../text/prompt-encoder.ts'
import { type ModelInfo, modelInfo } from './model-info.ts'

export interface Components {
  readonly unet: UNet2DConditionModel
  readonly vae: AutoencoderKL
  /** The tokenizers, the text encoders, and what they encoded last. */
  readonly promptEncoder: PromptEncoder
  readonly safetyChecker?: StableDiffusionSafetyChecker
  readonly scheduler: Scheduler
  readonly family: Family
  readonly modelInfo: ModelInfo
  /** `model_index.json`. */
  readonly config: Config
  /** `generation_config.json`, empty where the folder has none. */
  readonly generationConfig: Config
}

export interface LoadOptions {
  /** Which of a part's files to load, by their names. Default 'auto'. */
  readonly dtype?: Dtype | undefined
  /** Where to run. 'auto' (default) takes the best that works here and tells why it is not a better one. */
  readonly device?: Device | 'auto' | undefined
  /** Passed to ONNX Runtime for each part: threads, memory arena … */
  readonly sessionOptions?: InferenceSession.SessionOptions | undefined
}

export interface LoadListeners {
  /** Where 'auto' ended, and why each better device is not used. */
  readonly onDevice: (device: Device, reasons: readonly string[]) => void
  /** A part is about to be opened. */
  readonly onPart: (part: string) => void
  /** A sentence that the person should read: a device that cannot be used, a change to float32. */
  readonly onNotice: (message: string) => void
}

/** @throws EngineError 'model' for a folder that is no pipeline or is damaged, 'device' when the wanted device cannot run it. */
export async function loadComponents(
  folder: PipelineFolder,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<Components> {
  const { family, task } = familyOf(folder.index)
  const scheduler = await loadScheduler(folder)
  const opened: OnnxRuntimeModel[] = []
  try {
    // diffusers' script writes no config, and its inpainting pipeline runs UNets of 9 channels alone.
    const unetConfig = (await folder.config('unet', 'config.json')) ?? (task === 'inpaint' ? { in_channels: 9 } : {})
    const sampleSize = sampleSizeOf(unetConfig, family.defaultSampleSize)
    const unetModel = await openOnDevice(folder, options, listeners, sampleSize[0] * sampleSize[1] >= FUSED_FROM)
    opened.push(unetModel)
    const open = async (part: string, dtype = options.dtype) => {
      const model = await openBeside(unetModel, folder, part, { ...options, dtype }, listeners)
      opened.push(model)
      return model
    }
    const unet = new UNet2DConditionModel(unetModel, unetConfig, sampleSize)
    const vae = await loadVae(folder, open, family)
    const promptEncoder = await loadTextParts(folder, open, family.layersFromEnd)
    const safetyChecker = await loadSafetyChecker(folder, open)
    const generationConfig = (await folder.config('generation_config.json')) ?? {}
    return {
      unet,
      vae,
      promptEncoder,
      ...(safetyChecker && { safetyChecker }),
      scheduler,
      family,
      modelInfo: modelInfo(family, task, unet, vae, generationConfig),
      config: folder.index,
      generationConfig,
    }
  } catch (error) {
    await Promise.all(opened.map((model) => model.release()))
    throw error
  }
}

/** Every graph of the components. */
export function modelsOf({ unet, vae, promptEncoder, safetyChecker }: Components): OnnxRuntimeModel[] {
  return [
    unet.model,
    vae.decoder,
    ...(vae.encoder ? [vae.encoder] : []),
    ...promptEncoder.parts.map(({ textEncoder }) => textEncoder.model),
    ...(safetyChecker ? [safetyChecker.model] : []),
  ]
}

/** Latents from this many positions on: below, the fused operator costs more than it saves. */
const FUSED_FROM = 32 * 32

type Open = (part: string, dtype?: Dtype) => Promise<OnnxRuntimeModel>

/** The UNet does nearly all the work, so it decides which device 'auto' becomes. */
async function openOnDevice(
  folder: PipelineFolder,
  options: LoadOptions,
  listeners: LoadListeners,
  fuses: boolean,
): Promise<OnnxRuntimeModel> {
  const { device = 'auto' } = options
  const open = fuses ? openFused : openExported
  const openUnet = async (on: Device) => {
    const { path } = folder.graph('unet', options.dtype ?? 'auto', on !== 'cpu')
    return checkDtype(path, await open(folder, on, options, listeners), options.dtype)
  }
  if (device !== 'auto') {
    const why = unavailable(device)
    if (why) throw new EngineError('device', `The device '${device}' cannot be used: ${why}; or use device 'cpu'.`)
    return openUnet(device)
  }
  const reasons: string[] = []
  for (const candidate of candidates()) {
    const absent = lacksHardware(candidate)
    const why = absent ?? unavailable(candidate)
    if (why) {
      reasons.push(`Not using ${candidate}: ${why}.`)
      if (!absent) listeners.onNotice(reasons.at(-1)!)
      continue
    }
    try {
      const model = await openUnet(candidate)
      listeners.onDevice(candidate, reasons)
      return model
    } catch (error) {
      if (candidate === 'cpu' || !(error instanceof EngineError) || error.code !== 'device') throw error
      reasons.push(`Not using ${candidate}: ${error.message}`)
      listeners.onNotice(reasons.at(-1)!)
    }
  }
  throw new EngineError('device', "No device works here; use device 'cpu'.")
}

/**
 * Fused attention is the default where the provider has its operator: far less memory, the same output. The graph is opened
 * so at once, since a large one takes long to open, and twice the memory while another takes its place.
 */
async function openFused(
  folder: PipelineFolder,
  device: Device,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<OnnxRuntimeModel> {
  if (device === 'coreml') return openExported(folder, device, options, listeners)
  const file = folder.graph('unet', options.dtype ?? 'auto', device !== 'cpu')
  try {
    return await openGraph(file, device, options, listeners, { attention: rewriteAttention('fused') })
  } catch (error) {
    // What is wrong with the export itself is better said by opening that.
    const model = await openExported(folder, device, options, listeners)
    listeners.onNotice(`Attention is not fused, so large images take more memory: ${(error as Error).message}`)
    return model
  }
}

function openExported(
  folder: PipelineFolder,
  device: Device,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<OnnxRuntimeModel> {
  return openPart(folder, 'unet', device, options, listeners)
}

/** The other parts go where the UNet is; under 'auto', one that cannot run there runs on the CPU, aloud. */
async function openBeside(
  { device }: OnnxRuntimeModel,
  folder: PipelineFolder,
  part: string,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<OnnxRuntimeModel> {
  try {
    return await openPart(folder, part, device, options, listeners)
  } catch (error) {
    const mayMove = (options.device ?? 'auto') === 'auto' && device !== 'cpu'
    if (!mayMove || !(error instanceof EngineError) || error.code !== 'device') throw error
    listeners.onNotice(`The ${part} runs on the CPU: ${error.message}`)
    return openPart(folder, part, 'cpu', options, listeners)
  }
}

/** Whether 'auto' prefers half precision, as far as that can be known before a session is open. */
export function prefersHalf({ device = 'auto' }: LoadOptions): boolean {
  return (device === 'auto' ? bestDevice() : device) !== 'cpu'
}

/** A file without a mark may be of either precision: only the open graph tells. */
async function checkDtype(path: string, model: OnnxRuntimeModel, dtype: Dtype = 'auto'): Promise<OnnxRuntimeModel> {
  if (dtype === 'auto' || model.isHalf === (dtype === 'fp16')) return model
  await model.release()
  const is = model.isHalf ? 'fp16' : 'fp32'
  throw new EngineError(
    'model',
    `${path} is ${is}, not ${dtype}; use dtype 'auto', or a model that has ${dtype} files.`,
  )
}

function openPart(
  folder: PipelineFolder,
  part: string,
  device: Device,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<OnnxRuntimeModel> {
  const { dtype = 'auto' } = options
  // The precision is the UNet's to have; parts that were exported in another one go along.
  const wanted = part === 'unet' || folder.hasGraph(part, dtype) ? dtype : 'auto'
  return openGraph(folder.graph(part, wanted, device !== 'cpu'), device, options, listeners)
}

function openGraph(
  source: GraphSource,
  device: Device,
  { sessionOptions }: LoadOptions,
  { onPart, onNotice }: LoadListeners,
  rewrites?: Rewrites,
): Promise<OnnxRuntimeModel> {
  onPart(source.part)
  return OnnxRuntimeModel.load(source, { device, onNotice, ...(sessionOptions && { sessionOptions }) }, rewrites)
}

async function loadScheduler(folder: PipelineFolder): Promise<Scheduler> {
  const config = await folder.config('scheduler', 'scheduler_config.json')
  if (!config)
    throw new EngineError('model', `${folder.path} has no scheduler/scheduler_config.json; download the model again.`)
  return schedulerFromConfig(config)
}

async function loadVae(folder: PipelineFolder, open: Open, family: Family): Promise<AutoencoderKL> {
  const config =
    (await folder.config('vae_decoder', 'config.json')) ?? (await folder.config('vae', 'config.json')) ?? {}
  const dtype = family.keepsVaeInFp32(config) ? 'fp32' : undefined
  const decoder = await open('vae_decoder', dtype)
  const encoder = folder.has('vae_encoder') ? await open('vae_encoder', dtype) : undefined
  const heeded = family.heedsLatentsMean ? config : { ...config, latents_mean: null, latents_std: null }
  return new AutoencoderKL(decoder, encoder, heeded)
}

async function loadTextParts(folder: PipelineFolder, open: Open, layersFromEnd: number): Promise<PromptEncoder> {
  const parts: TextPart[] = []
  for (const suffix of ['', '_2']) {
    const part = `text_encoder${suffix}`
    if (!folder.has(part)) continue
    const config = (await folder.config(part, 'config.json')) ?? {}
    const tokenizer = await CLIPTokenizer.fromFolder(folder.join(`tokenizer${suffix}`), config)
    parts.push({ tokenizer, textEncoder: new CLIPTextModel(await open(part), config) })
  }
  // The refiner has only the second; where both are missing, opening the first says so.
  if (parts.length === 0) await open('text_encoder')
  return new PromptEncoder(parts, layersFromEnd)
}

async function loadSafetyChecker(
  folder: PipelineFolder,
  open: Open,
): Promise<StableDiffusionSafetyChecker | undefined> {
  if (!folder.has('safety_checker')) return undefined
  const config = (await folder.config('feature_extractor', 'preprocessor_config.json')) ?? {}
  return new StableDiffusionSafetyChecker(await open('safety_checker'), config)
}
