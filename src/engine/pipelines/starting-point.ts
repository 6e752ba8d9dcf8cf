/** Where a sampling starts: which timesteps run, at what size, from which latents. */

import { EngineError } from '../errors.ts'
import type { Defaults, PipelineClass, Task } from '../families/family.ts'
import { type LoadedImage, loadImages, preprocessImages, preprocessMasks } from '../images/image-processor.ts'
import { Generator } from '../random/generator.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import type { Tensor } from '../tensor.ts'
import { checkTensor, type GenerateArguments } from './arguments.ts'
import type { Components } from './components.ts'
import { type Inpainting, imageLatents, inpaintLatents, noiseLatents } from './initial-latents.ts'
import type { ModelInfo } from './model-info.ts'
import { wrong } from './wrong-argument.ts'

export interface StartingPoint {
  /** With its timesteps set. */
  readonly scheduler: Scheduler
  /** Those of the scheduler's that are visited. */
  readonly timesteps: readonly number[]
  readonly latents: Tensor
  readonly inpainting: Inpainting | undefined
}

/** What each of the three tasks needs to know. */
interface Request {
  readonly pipelineClass: PipelineClass
  readonly components: Components
  readonly scheduler: Scheduler
  readonly timesteps: readonly number[]
  readonly args: GenerateArguments
  readonly strength: number
  /** Images in all. */
  readonly batch: number
}

/** @param scheduler The sampling's own. @throws EngineError 'argument' */
export async function startingPoint(
  task: Task,
  pipelineClass: PipelineClass,
  components: Components,
  scheduler: Scheduler,
  args: GenerateArguments,
  defaults: Defaults,
  batch: number,
): Promise<StartingPoint> {
  const { numInferenceSteps = defaults.numInferenceSteps, strength = defaults.strength } = args
  const timesteps = visitedTimesteps(task, pipelineClass, scheduler, numInferenceSteps, strength)
  const request = { pipelineClass, components, scheduler, timesteps, args, strength, batch }
  const start = await START[task](request)
  return { scheduler, timesteps, ...start }
}

/** In one batch's pixels, a GiB: a model's own tensors are many times as large, and the system ends who takes too much. */
const MOST_NUMBERS = 2 ** 28

type Start = Pick<StartingPoint, 'latents' | 'inpainting'>

const START: Record<Task, (request: Request) => Promise<Start>> = {
  'text-to-image': fromNoise,
  'image-to-image': fromImage,
  inpaint: fromMaskedImage,
}

function visitedTimesteps(
  task: Task,
  pipelineClass: PipelineClass,
  scheduler: Scheduler,
  steps: number,
  strength: number,
): readonly number[] {
  if (pipelineClass.schedulesForStrength) {
    scheduler.setTimesteps(steps, { strength })
    return scheduler.timesteps
  }
  scheduler.setTimesteps(steps)
  if (task === 'text-to-image') {
    // By index also where diffusers searches for the first timestep: should two be equal, it finds the second, and one is left.
    scheduler.setBeginIndex(0)
    return scheduler.timesteps
  }
  const run = Math.min(Math.trunc(steps * strength), steps)
  const first = (steps - run) * scheduler.order
  scheduler.setBeginIndex(first)
  const timesteps = scheduler.timesteps.slice(first)
  // PNDM has a timestep to spare, which diffusers' image-to-image takes and its inpainting does not.
  if (timesteps.length === 0 || (task === 'inpaint' && run === 0))
    throw wrong('strength', `at least ${1 / steps} with ${steps} steps, so that one of them runs`, strength)
  return timesteps
}

async function fromNoise({ pipelineClass, components, scheduler, args, batch }: Request): Promise<Start> {
  requirePlainUnet(components)
  const bothOrNone = pipelineClass.takesBothSides && (args.height === undefined || args.width === undefined)
  const { height, width } = sizeOf(components.modelInfo, bothOrNone ? {} : args)
  const dims = latentDims(components.modelInfo, batch, height, width)
  if (args.latents) checkTensor('latents', args.latents, dims)
  return { latents: noiseLatents(dims, scheduler, args.generator, args.latents), inpainting: undefined }
}

async function fromImage({ components, scheduler, timesteps, args, batch }: Request): Promise<Start> {
  requirePlainUnet(components)
  const { vae, modelInfo } = components
  const images = await loadImages(args.image!, 'image')
  const { height, width } = imageSize(images[0]!, args, modelInfo.vaeScaleFactor)
  const dims = latentDims(modelInfo, batch, height, width)
  if (args.latents) {
    checkTensor('latents', args.latents, dims)
    return { latents: args.latents, inpainting: undefined }
  }
  const pixels = preprocessImages(images, height, width)
  const generators = args.generator ?? randomGenerator()
  return {
    latents: await imageLatents(pixels, batch, vae, scheduler, timesteps[0]!, generators),
    inpainting: undefined,
  }
}

async function fromMaskedImage({ components, scheduler, timesteps, args, strength, batch }: Request): Promise<Start> {
  const { unet, vae, modelInfo } = components
  const images = await loadImages(args.image!, 'image')
  const masks = await loadImages(args.maskImage!, 'maskImage')
  masks.forEach((mask, i) => {
    requireSameSize(images[i % images.length]!, mask)
  })
  const seesMask = unet.inChannels !== modelInfo.latentChannels
  if (seesMask && unet.inChannels !== 2 * modelInfo.latentChannels + 1)
    throw new EngineError(
      'model',
      `This model's UNet takes ${unet.inChannels} channels and cannot inpaint; use another.`,
    )
  const { height, width } = sizeOf(modelInfo, args)
  const dims = latentDims(modelInfo, batch, height, width)
  if (args.latents) checkTensor('latents', args.latents, dims)
  return inpaintLatents(vae, scheduler, {
    images: preprocessImages(images, height, width),
    masks: preprocessMasks(masks, height, width),
    batch,
    timestep: timesteps[0]!,
    isStrengthMax: strength === 1,
    seesMask,
    generators: args.generator ?? randomGenerator(),
    latents: args.latents,
  })
}

function requirePlainUnet({ unet, modelInfo }: Components): void {
  if (unet.inChannels !== modelInfo.latentChannels)
    throw new EngineError(
      'argument',
      `This model's UNet takes ${unet.inChannels} channels: it paints into images, so give \`image\` and \`maskImage\`.`,
    )
}

function requireSameSize(image: LoadedImage, mask: LoadedImage): void {
  if (image.width !== mask.width || image.height !== mask.height)
    throw wrong('maskImage', `as large as image (${image.width}×${image.height})`, `${mask.width}×${mask.height}`)
}

function sizeOf(
  info: ModelInfo,
  { height = info.height, width = info.width }: Pick<GenerateArguments, 'height' | 'width'>,
) {
  for (const [name, side] of Object.entries({ height, width }))
    if (!(side > 0 && side % info.vaeScaleFactor === 0)) throw wrong(name, `a multiple of ${info.vaeScaleFactor}`, side)
  return { height, width }
}

/** Image-to-image keeps its image's size, but for what the latents cannot hold. */
function imageSize(image: LoadedImage, args: GenerateArguments, scale: number): { height: number; width: number } {
  const side = (pixels: number) => pixels - (pixels % scale)
  const [height, width] = [side(args.height ?? image.height), side(args.width ?? image.width)]
  if (height === 0 || width === 0)
    throw wrong('image', `at least ${scale} pixels on each side`, `${image.width}×${image.height}`)
  return { height, width }
}

function latentDims({ latentChannels, vaeScaleFactor }: ModelInfo, batch: number, height: number, width: number) {
  if (batch * 3 * height * width > MOST_NUMBERS)
    throw new EngineError(
      'argument',
      `${batch} images of ${width}×${height} are more than one batch can hold; ask for fewer or smaller ones.`,
    )
  return [batch, latentChannels, height / vaeScaleFactor, width / vaeScaleFactor]
}

/** One for all draws: the image's latents and the noise must come from one stream. */
function randomGenerator(): Generator {
  return new Generator(crypto.getRandomValues(new Uint32Array(1))[0]!)
}
