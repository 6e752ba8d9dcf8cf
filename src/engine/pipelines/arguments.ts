/** What `generate()` and `begin()` take, under diffusers' names, and the checks that need no model. */

import { EngineError } from '../errors.ts'
import type { ImageInput } from '../images/image-processor.ts'
import { Generator, type Generators } from '../random/generator.ts'
import type { Tensor } from '../tensor.ts'
import type { PromptOptions } from '../text/prompt-encoder.ts'
import type { AdapterSelection } from './lora-adapters.ts'
import { refuseUnknown, wrong } from './wrong-argument.ts'

/** 'png': a Buffer an image; 'np': NHWC floats in 0..1; 'latent': latents as the UNet left them, undecoded. */
export type OutputType = 'png' | 'np' | 'latent'

/** @returns Nothing, or latents to go on with. */
// biome-ignore-start lint/suspicious/noConfusingVoidType: a callback may return nothing, at once or later.
export type CallbackOnStepEnd = (
  pipe: unknown,
  step: number,
  timestep: number,
  callbackKwargs: { readonly latents: Tensor },
) => void | { latents?: Tensor } | Promise<void | { latents?: Tensor }>
// biome-ignore-end lint/suspicious/noConfusingVoidType: only that type.

/** Defaults are diffusers', by family and task, or those of the model's own `generation_config.json`. */
export interface GenerateArguments<Output extends OutputType = OutputType> extends PromptOptions {
  /** What to draw; a list makes a batch. Empty is valid. */
  readonly prompt: string | readonly string[]
  /** What to keep out; a list goes with a list of prompts. Without guidance it has no effect. */
  readonly negativePrompt?: string | readonly string[] | null | undefined
  /** In pixels, multiples of 8; default: the size that the model was made for. Image-to-image takes its image's. */
  readonly height?: number | undefined
  readonly width?: number | undefined
  /** Denoising steps, at least 1. */
  readonly numInferenceSteps?: number | undefined
  /** Above 1, the prediction is pushed so far from the negative prompt's towards the prompt's. */
  readonly guidanceScale?: number | undefined
  readonly numImagesPerPrompt?: number | undefined
  /** DDIM's share of fresh noise in each step, 0..1. */
  readonly eta?: number | undefined
  /** One generator for all images, or one an image; none draws an unrepeatable seed. */
  readonly generator?: Generators | undefined
  /** Unit noise to start from, `[images, channels, height / 8, width / 8]`, in place of the generator's. */
  readonly latents?: Tensor | undefined
  /** Image-to-image and inpainting: one image for all, or one a prompt. */
  readonly image?: ImageInput | readonly (ImageInput | readonly ImageInput[])[] | undefined
  /** Inpainting: white is painted anew, black is kept; as large as `image`. */
  readonly maskImage?: ImageInput | readonly ImageInput[] | undefined
  /** How much of `image` may change, 0..1: the share of the steps that run. */
  readonly strength?: number | undefined
  /** The LoRAs of this call alone, in place of those that `setAdapters` set; an empty list uses none. */
  readonly adapters?: readonly AdapterSelection[] | undefined
  /** `scale` multiplies the weights of all LoRAs. */
  readonly crossAttentionKwargs?: { readonly scale?: number | undefined } | undefined
  /**
   * What ControlNets see, in image-to-image and inpainting; text-to-image with a ControlNet takes it as `image`. One for all,
   * or one a prompt; with several ControlNets a list of these, one for each.
   */
  readonly controlImage?: ImageInput | readonly (ImageInput | readonly ImageInput[])[] | undefined
  /** How much ControlNets count: a number, or one for each. */
  readonly controlnetConditioningScale?: number | readonly number[] | undefined
  /** ControlNets lead without a prompt: the prompt's rows alone are controlled, and early layers less. */
  readonly guessMode?: boolean | undefined
  /** The shares of the steps, 0..1, between which ControlNets work: a number, or one for each. */
  readonly controlGuidanceStart?: number | readonly number[] | undefined
  readonly controlGuidanceEnd?: number | readonly number[] | undefined
  readonly outputType?: Output | undefined
  /** Told after each model evaluation; what it returns replaces the latents. */
  readonly callbackOnStepEnd?: CallbackOnStepEnd | undefined
  /** Checked between model evaluations; aborting rejects with the signal's `reason` where it has one of its own. */
  readonly signal?: AbortSignal | undefined
}

/** All names, which the compiler holds complete. */
const ARGUMENTS: Readonly<Record<keyof GenerateArguments, true>> = {
  prompt: true,
  negativePrompt: true,
  height: true,
  width: true,
  numInferenceSteps: true,
  guidanceScale: true,
  numImagesPerPrompt: true,
  eta: true,
  generator: true,
  latents: true,
  image: true,
  maskImage: true,
  strength: true,
  adapters: true,
  crossAttentionKwargs: true,
  controlImage: true,
  controlnetConditioningScale: true,
  guessMode: true,
  controlGuidanceStart: true,
  controlGuidanceEnd: true,
  outputType: true,
  callbackOnStepEnd: true,
  signal: true,
  clipSkip: true,
  promptWeighting: true,
}

/** @throws EngineError 'argument' for the first argument that cannot work, with what it has to be. */
export function checkArguments(args: GenerateArguments): void {
  refuseUnknown('argument', args, ARGUMENTS)
  const { prompt, negativePrompt, strength, outputType, guidanceScale, eta } = args
  if (typeof prompt !== 'string' && !isTexts(prompt)) throw wrong('prompt', 'a text or a list of texts', prompt)
  if (negativePrompt != null && typeof negativePrompt !== 'string' && !isTexts(negativePrompt))
    throw wrong('negativePrompt', 'a text or a list of texts', negativePrompt)
  checkCount('numInferenceSteps', args.numInferenceSteps)
  checkCount('numImagesPerPrompt', args.numImagesPerPrompt)
  checkCount('clipSkip', args.clipSkip === 0 ? undefined : args.clipSkip)
  checkSide('height', args.height)
  checkSide('width', args.width)
  if (guidanceScale !== undefined && !Number.isFinite(guidanceScale))
    throw wrong('guidanceScale', 'a finite number', guidanceScale)
  checkShare('strength', strength)
  checkShare('eta', eta)
  if (outputType !== undefined && !['png', 'np', 'latent'].includes(outputType))
    throw wrong('outputType', "'png', 'np' or 'latent'", outputType)
  if (args.latents) checkTensor('latents', args.latents)
  if (args.adapters !== undefined && !Array.isArray(args.adapters))
    throw wrong('adapters', 'a list of { name, weight }', args.adapters)
  checkCrossAttentionKwargs(args.crossAttentionKwargs ?? {})
  const generators = args.generator === undefined ? [] : [args.generator].flat()
  if (!generators.every((generator) => generator instanceof Generator))
    throw wrong('generator', 'a Generator or a list of them', args.generator)
}

function checkCrossAttentionKwargs({ scale = 1, ...others }: { readonly scale?: unknown }): void {
  if (Object.keys(others).length > 0) throw wrong('crossAttentionKwargs', '{ scale } alone', others)
  if (!Number.isFinite(scale)) throw wrong('crossAttentionKwargs.scale', 'a finite number', scale)
}

const CONTROL_ARGUMENTS = [
  'controlImage',
  'controlnetConditioningScale',
  'guessMode',
  'controlGuidanceStart',
  'controlGuidanceEnd',
] as const

/** @throws EngineError 'argument' for the first argument that is for a ControlNet. */
export function refuseControlArguments(args: GenerateArguments): void {
  const name = CONTROL_ARGUMENTS.find((one) => args[one] !== undefined)
  if (name)
    throw new EngineError(
      'argument',
      `\`${name}\` is for a pipeline with a ControlNet; make one with StableDiffusionControlNetPipeline, or leave it out.`,
    )
}

/** @throws EngineError 'argument' unless it is a tensor, and one of these dims where they are given. */
export function checkTensor(name: string, tensor: Tensor, wanted?: readonly number[]): void {
  const { data, dims } = tensor
  if (!(data instanceof Float32Array && Array.isArray(dims)))
    throw wrong(name, '{ data: a Float32Array, dims: its shape }', tensor)
  if (data.length !== dims.reduce((product, dim) => product * dim, 1))
    throw wrong(name, 'data of as many numbers as its dims say', dims)
  if (wanted && dims.join() !== wanted.join())
    throw wrong(name, `of the shape [${wanted.join(', ')}]`, `[${dims.join(', ')}]`)
}

/** The prompts as a list. */
export function promptList({ prompt }: GenerateArguments): string[] {
  return typeof prompt === 'string' ? [prompt] : [...prompt]
}

/**
 * For each prompt its negative one; nothing where none was given.
 * @param spreads SDXL's pipelines take one text for all; Stable Diffusion's want a text for a text, a list for a list.
 */
export function negativePromptList(
  { prompt, negativePrompt }: GenerateArguments,
  spreads: boolean,
): string[] | undefined {
  if (negativePrompt == null) return undefined
  const count = typeof prompt === 'string' ? 1 : prompt.length
  if (!spreads && typeof prompt !== typeof negativePrompt)
    throw wrong(
      'negativePrompt',
      typeof prompt === 'string' ? 'a text' : `a list of ${count} texts, as prompt is`,
      negativePrompt,
    )
  if (typeof negativePrompt === 'string') return Array<string>(count).fill(negativePrompt)
  if (negativePrompt.length !== count)
    throw wrong('negativePrompt', `as long a list as prompt (${count})`, `${negativePrompt.length} texts`)
  return [...negativePrompt]
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && Array.from(value).every((text) => typeof text === 'string')
}

function checkCount(name: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= 1))
    throw wrong(name, 'a whole number, at least 1', value)
}

function checkShare(name: string, value: number | undefined): void {
  if (value !== undefined && !(typeof value === 'number' && value >= 0 && value <= 1))
    throw wrong(name, 'in 0..1', value)
}

function checkSide(name: string, value: number | undefined): void {
  // diffusers' inpainting takes a side that a VAE of a smaller scale can hold; no VAE that people have is one.
  if (value !== undefined && !(Number.isInteger(value) && value > 0 && value % 8 === 0))
    throw wrong(name, 'a multiple of 8', value)
}
