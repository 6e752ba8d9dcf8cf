/** A pipeline's parts, opened from its folder; pipelines made from each other's components share them. */

import type { Config } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import type { Family } from '../families/family.ts'
import { familyOf } from '../families/family-of.ts'
import { writeControlNet } from '../graph/write/controlnet.ts'
import { ControlNetModel } from '../models/controlnet.ts'
import type { LoraBranches } from '../models/lora-branches.ts'
import type { OnnxRuntimeModel } from '../models/onnx-runtime-model.ts'
import { StableDiffusionSafetyChecker } from '../models/safety-checker.ts'
import { CLIPTextModel } from '../models/text-encoder.ts'
import { sampleSizeOf, UNet2DConditionModel } from '../models/unet.ts'
import { AutoencoderKL } from '../models/vae.ts'
import { schedulerFromConfig } from '../schedulers/index.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import { PromptEncoder, type TextPart } from '../text/prompt-encoder.ts'
import { openControlNet } from '../weights/controlnet-weights.ts'
import type { LoraPart } from '../weights/lora-names.ts'
import { writtenGraph } from './checkpoint-source.ts'
import { LoraAdapters } from './lora-adapters.ts'
import { type ModelInfo, modelInfo } from './model-info.ts'
import { type LoadListeners, type LoadOptions, Opening } from './opening.ts'
import type { PipelineSource } from './pipeline-source.ts'
import { TextualInversions } from './textual-inversions.ts'

export interface Components {
  readonly unet: UNet2DConditionModel
  readonly vae: AutoencoderKL
  /** The tokenizers, the text encoders, and what they encoded last. */
  readonly promptEncoder: PromptEncoder
  readonly safetyChecker?: StableDiffusionSafetyChecker
  /** The LoRAs that are loaded. */
  readonly loras: LoraAdapters
  /** The words that were added to its tokenizers. */
  readonly textualInversions: TextualInversions
  /** For the pipelines with a ControlNet: one, or several that work together. */
  readonly controlnet?: readonly ControlNetModel[]
  readonly scheduler: Scheduler
  readonly family: Family
  readonly modelInfo: ModelInfo
  /** What they were opened from. */
  readonly source: PipelineSource
  /** `model_index.json`. */
  readonly config: Config
  /** `generation_config.json`, empty where the folder has none. */
  readonly generationConfig: Config
}

/** @throws EngineError 'model' for what is damaged or not whole, 'device' when the wanted device cannot run it. */
export async function loadComponents(
  source: PipelineSource,
  options: LoadOptions,
  listeners: LoadListeners,
): Promise<Components> {
  const { family, task } = familyOf(source.index)
  const scheduler = await loadScheduler(source)
  const opening = new Opening(source, options, listeners)
  try {
    // diffusers' script writes no config, and its inpainting pipeline runs UNets of 9 channels alone.
    const unetConfig = (await source.config('unet')) ?? (task === 'inpaint' ? { in_channels: 9 } : {})
    const sampleSize = sampleSizeOf(unetConfig, family.defaultSampleSize)
    const fuses = sampleSize[0] * sampleSize[1] >= FUSED_FROM
    const paths = options.controlnet === undefined ? [] : [options.controlnet].flat()
    const unetModel = await opening.unet({ fuses, takesResiduals: paths.length > 0 })
    const unet = new UNet2DConditionModel(unetModel, unetConfig, sampleSize)
    const controlnet = await Promise.all(paths.map((path) => loadControlNet(path, opening, unet)))
    const vae = await loadVae(source, opening, family)
    const promptEncoder = await loadTextParts(source, opening, family.layersFromEnd)
    const safetyChecker = await loadSafetyChecker(source, opening)
    const generationConfig = (await source.config('generation')) ?? {}
    return {
      unet,
      vae,
      promptEncoder,
      ...(safetyChecker && { safetyChecker }),
      loras: new LoraAdapters(branchesOf(unet, promptEncoder)),
      textualInversions: new TextualInversions(promptEncoder),
      ...(controlnet.length > 0 && { controlnet }),
      scheduler,
      family,
      modelInfo: modelInfo(family, task, shapesOf(unet, vae), generationConfig),
      source,
      config: source.index,
      generationConfig,
    }
  } catch (error) {
    await opening.undo()
    throw error
  }
}

function shapesOf({ sampleSize, sizeMultiple, timeCondProjDim }: UNet2DConditionModel, vae: AutoencoderKL) {
  const { scaleFactor, latentChannels } = vae
  return { sampleSize, sizeMultiple, timeCondProjDim, scaleFactor, latentChannels }
}

/** Every graph of the components. */
export function modelsOf({ unet, vae, promptEncoder, safetyChecker, controlnet = [] }: Components): OnnxRuntimeModel[] {
  return [
    unet.model,
    vae.decoder,
    ...(vae.encoder ? [vae.encoder] : []),
    ...promptEncoder.parts.map(({ textEncoder }) => textEncoder.model),
    ...(safetyChecker ? [safetyChecker.model] : []),
    ...controlnet.map(({ model }) => model),
  ]
}

function branchesOf(unet: UNet2DConditionModel, { parts }: PromptEncoder): Map<LoraPart, LoraBranches> {
  const branches = new Map<LoraPart, LoraBranches>([['unet', unet.branches]])
  for (const { textEncoder } of parts) branches.set(textEncoder.model.part as LoraPart, textEncoder.branches)
  return branches
}

/** Latents from this many positions on: below, the fused operator costs more than it saves. */
const FUSED_FROM = 32 * 32

async function loadScheduler(source: PipelineSource): Promise<Scheduler> {
  const config = await source.config('scheduler')
  if (!config)
    throw new EngineError('model', `${source.path} has no scheduler/scheduler_config.json; download the model again.`)
  return schedulerFromConfig(config)
}

/** SDXL's VAE overflows in half precision, which its config says; diffusers then runs it in float32. */
async function loadVae(source: PipelineSource, opening: Opening, family: Family): Promise<AutoencoderKL> {
  const config = (await source.config('vae')) ?? {}
  const dtype = family.keepsVaeInFp32(config) ? 'fp32' : undefined
  const decoder = await opening.part('vae_decoder', dtype)
  const encoder = source.has('vae_encoder') ? opening.partLater('vae_encoder', dtype) : undefined
  // Not every pipeline heeds the latents' mean and deviation.
  const heeded = family.heedsLatentsMean ? config : { ...config, latents_mean: null, latents_std: null }
  return new AutoencoderKL(decoder, encoder, heeded)
}

async function loadTextParts(source: PipelineSource, opening: Opening, layersFromEnd: number): Promise<PromptEncoder> {
  const parts: TextPart[] = []
  for (const [part, tokenizerName] of [
    ['text_encoder', 'tokenizer'],
    ['text_encoder_2', 'tokenizer_2'],
  ] as const) {
    if (!source.has(part)) continue
    const config = (await source.config(part)) ?? {}
    const tokenizer = await source.tokenizer(tokenizerName, config)
    parts.push({ tokenizer, textEncoder: new CLIPTextModel(await opening.part(part), config) })
  }
  // The refiner has only the second; where both are missing, opening the first says so.
  if (parts.length === 0) await opening.part('text_encoder')
  return new PromptEncoder(parts, layersFromEnd)
}

/** @param path A folder in diffusers' layout, or a file in either. */
async function loadControlNet(path: string, opening: Opening, unet: UNet2DConditionModel): Promise<ControlNetModel> {
  const { config, weights } = await openControlNet(path)
  const model = await opening.beside((dtype, device) =>
    writtenGraph('controlnet', path, dtype, device, (options) => writeControlNet(config, weights, options)),
  )
  const contextWidth = ({ inputs }: OnnxRuntimeModel) => inputs.get('encoder_hidden_states')?.shape[2]
  if (contextWidth(model) !== contextWidth(unet.model))
    throw new EngineError(
      'model',
      `The ControlNet in ${path} was made for another kind of model (its text is ${contextWidth(model)} wide, not` +
        ` ${contextWidth(unet.model)}); take one for this model's family.`,
    )
  return new ControlNetModel(model, config)
}

async function loadSafetyChecker(
  source: PipelineSource,
  opening: Opening,
): Promise<StableDiffusionSafetyChecker | undefined> {
  if (!source.has('safety_checker')) return undefined
  const config = (await source.config('feature_extractor')) ?? {}
  return new StableDiffusionSafetyChecker(await opening.part('safety_checker'), config)
}
