/** diffusers' `StableDiffusionPipeline`, for every family: open a model, ask for images, all at once or step by step. */

import { existsSync } from 'node:fs'
import { EngineError } from '../errors.ts'
import { loadImages, preprocessImages, preprocessMasks } from '../images/image-processor.ts'
import type { Bitmap } from '../images/resample.ts'
import { type Device, requireDevice, unavailable } from '../models/device.ts'
import { downloadPipeline, isRepositoryName } from '../models/hub.ts'
import { PipelineFolder } from '../models/pipeline-folder.ts'
import { Generator } from '../random/generator.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import type { Tensor } from '../tensor.ts'
import { checkArguments, type GenerateArguments, type OutputType, promptLists, wrong } from './arguments.ts'
import { type Components, type LoadOptions, loadComponents, modelsOf, prefersHalf } from './components.ts'
import { type Conditioning, guidanceScaleEmbedding, repeatRow, textRows, zerosLike } from './conditioning.ts'
import { defaultsOf, mendsScheduler, type Task } from './family.ts'
import { type Inpainting, imageLatents, inpaintLatents, noiseLatents } from './initial-latents.ts'
import type { ModelInfo } from './model-info.ts'
import { type PipelineOutput, Sampling } from './sampling.ts'
import { freshScheduler, mendedScheduler } from './scheduler-state.ts'

/** What `fromPretrained` tells while it works. */
export type LoadProgress =
  /** Bytes of one file of a hub repository. */
  | { readonly status: 'download'; readonly file: string; readonly loaded: number; readonly total: number }
  /** A part is being opened. */
  | { readonly status: 'load'; readonly part: string }
  /** A sentence for a person: why a better device is not used, that a part went on in float32. */
  | { readonly status: 'notice'; readonly message: string }

export interface FromPretrainedOptions extends LoadOptions {
  /** Of a hub repository: branch, tag or commit. Default 'main'. */
  readonly revision?: string | undefined
  /** Told what happens; notices go to Node's warnings where this is absent. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
}

export class StableDiffusionPipeline {
  readonly #components: Components
  readonly #task: Task
  #scheduler: Scheduler
  #guidanceSlicing = false
  #offloading = false

  /** @param components Another pipeline's; its models are shared, not copied. */
  constructor(components: Components) {
    this.#components = components
    this.#task = this.ownTask ?? components.modelInfo.task
    this.#scheduler = this.#mended(components.scheduler)
  }

  /**
   * Opens a model.
   * @param model A folder in Stable Diffusion's ONNX layout, or a repository of the Hugging Face hub: 'org/name'.
   * @throws EngineError 'model' for what is no pipeline or is damaged, 'device' when the device cannot run it.
   */
  static async fromPretrained<Pipeline extends StableDiffusionPipeline>(
    this: new (
      components: Components,
    ) => Pipeline,
    model: string,
    options: FromPretrainedOptions = {},
  ): Promise<Pipeline> {
    const tell = options.onProgress ?? warnOfNotices
    const folder = await PipelineFolder.open(existsSync(model) ? model : await fetchModel(model, options, tell))
    const components = await loadComponents(folder, options, {
      onPart: (part) => tell({ status: 'load', part }),
      onNotice: (message) => tell({ status: 'notice', message }),
    })
    return new this(components)
  }

  /** The task of the class; nothing where the model's folder decides. */
  protected get ownTask(): Task | undefined {
    return undefined
  }

  /** May be replaced: `pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config)`. */
  get scheduler(): Scheduler {
    return this.#scheduler
  }

  set scheduler(scheduler: Scheduler) {
    this.#scheduler = this.#mended(scheduler)
  }

  /** What other pipelines are made from, with the scheduler as it is now. */
  get components(): Components {
    return { ...this.#components, scheduler: this.scheduler }
  }

  get modelInfo(): ModelInfo {
    return this.#components.modelInfo
  }

  get device(): Device {
    return this.#components.unet.model.device
  }

  /**
   * Moves every part to a device.
   * @throws EngineError 'device' when it cannot run there; parts that were moved before stay moved.
   */
  async to(device: Device): Promise<this> {
    const wanted = requireDevice(device)
    const why = unavailable(wanted)
    if (why) throw new EngineError('device', `The device '${wanted}' cannot be used: ${why}; or use device 'cpu'.`)
    for (const model of modelsOf(this.#components)) await model.to(wanted)
    this.#components.promptEncoder.clear()
    return this
  }

  /** Frees the models' memory, for every pipeline that shares them; what is used again is opened again. */
  async release(): Promise<void> {
    for (const model of modelsOf(this.#components)) await model.release()
    this.#components.promptEncoder.clear()
  }

  /**
   * Computes attention a few heads at a time from the next step on: less memory, a little slower, the same output.
   * @param sliceSize 'max': one head at a time; 'auto': half of them; or so many.
   * @throws EngineError 'argument'; where the graph cannot be rewritten, the next step throws EngineError 'model'.
   */
  enableAttentionSlicing(sliceSize: 'auto' | 'max' | number = 'auto'): void {
    if (typeof sliceSize === 'number' && !(Number.isInteger(sliceSize) && sliceSize >= 1)) {
      throw new EngineError(
        'argument',
        `The slice size is ${sliceSize}; it must be 'auto', 'max' or a whole number from 1.`,
      )
    }
    this.#components.unet.attention = sliceSize === 'max' ? 1 : sliceSize
  }

  /** Computes attention in one step, with the whole score matrix, as the export has it. */
  disableAttentionSlicing(): void {
    this.#components.unet.attention = 'original'
  }

  /**
   * Computes attention in one fused operator that never holds the whole score matrix, as diffusers does with xFormers;
   * what a large UNet begins with where its device has the operator.
   */
  enableMemoryEfficientAttention(): void {
    this.#components.unet.attention = 'fused'
  }

  /** Decodes a batch image by image: less memory at the end. */
  enableVaeSlicing(): void {
    this.#components.vae.useSlicing = true
  }

  disableVaeSlicing(): void {
    this.#components.vae.useSlicing = false
  }

  /** Decodes and encodes large images in overlapping tiles: memory that does not grow with them, slightly other colours. */
  enableVaeTiling(): void {
    this.#components.vae.useTiling = true
  }

  disableVaeTiling(): void {
    this.#components.vae.useTiling = false
  }

  /** Runs the UNet one row at a time, guided and unguided ones too: the least memory a step, at the same output. */
  enableGuidanceSlicing(): void {
    this.#guidanceSlicing = true
  }

  disableGuidanceSlicing(): void {
    this.#guidanceSlicing = false
  }

  /**
   * Keeps a part in memory only while it works, and opens it again when it is needed: the least memory, at the price of
   * opening the UNet and the VAE for each batch. diffusers moves parts off the GPU; here they leave memory altogether.
   */
  async enableModelCpuOffload(): Promise<void> {
    this.#offloading = true
    for (const model of modelsOf(this.#components)) await model.release()
  }

  /**
   * Makes images.
   * @throws EngineError 'argument' for an argument that cannot work, 'numeric' for NaN, 'device' when the device fails;
   *   the signal's `reason` when it is aborted.
   */
  async generate<Output extends OutputType = 'png'>(args: GenerateArguments<Output>): Promise<PipelineOutput<Output>> {
    const sampling = await this.begin(args)
    while (!sampling.done) await sampling.next()
    return sampling.finish()
  }

  /** The same, step by step: encodes the prompts, draws the noise, and leaves the rest to the caller. */
  async begin<Output extends OutputType = 'png'>(args: GenerateArguments<Output>): Promise<Sampling<Output>> {
    checkArguments(args)
    args.signal?.throwIfAborted()
    const task = this.#taskOf(args)
    const { unet, modelInfo: info } = this.#components
    const guidanceScale = args.guidanceScale ?? this.#default('guidanceScale', task)
    const usesGuidance = guidanceScale > 1 && info.usesNegativePrompt
    const prompts = promptLists(args, info.family === 'stable-diffusion-xl')
    const batch = prompts.prompts.length * (args.numImagesPerPrompt ?? 1)
    if (Array.isArray(args.generator) && args.generator.length !== batch)
      throw wrong('generator', `one generator, or a list of ${batch}, one an image`, `${args.generator.length} of them`)

    const start = await this.#start(args, task, batch)
    const [, , height = 0, width = 0] = start.latents.dims
    const text = await this.#encodePrompts(args, prompts, usesGuidance)
    if (this.#offloading) await this.#releaseEncoders()
    args.signal?.throwIfAborted()
    const rows = usesGuidance ? 2 * batch : batch
    const scale = info.vaeScaleFactor
    const conditioning: Conditioning = {
      ...text,
      ...(text.textEmbeds && { timeIds: this.#timeIds(height * scale, width * scale, batch, usesGuidance, task) }),
      ...(unet.timeCondProjDim && { timestepCond: guidanceScaleEmbedding(guidanceScale, rows, unet.timeCondProjDim) }),
    }
    const { callbackOnStepEnd } = args
    return new Sampling<Output>(this.#components, {
      ...start,
      conditioning,
      guidanceScale,
      usesGuidance,
      oneRowAtATime: this.#guidanceSlicing,
      offloads: this.#offloading,
      eta: args.eta ?? 0,
      generators: args.generator,
      outputType: args.outputType ?? 'png',
      onStepEnd:
        callbackOnStepEnd &&
        (async (step, timestep, latents) => (await callbackOnStepEnd(this, step, timestep, { latents }))?.latents),
      signal: args.signal,
    })
  }

  async #releaseEncoders(): Promise<void> {
    const { vae, promptEncoder } = this.#components
    await vae.encoder?.release()
    for (const { textEncoder } of promptEncoder.parts) await textEncoder.model.release()
  }

  #mended(scheduler: Scheduler): Scheduler {
    return mendsScheduler(this.#components.modelInfo.family, this.#task) ? mendedScheduler(scheduler) : scheduler
  }

  #taskOf(args: GenerateArguments): Task {
    if (this.ownTask === undefined && args.image !== undefined)
      return args.maskImage === undefined ? 'image-to-image' : 'inpaint'
    const needed = { 'text-to-image': [], 'image-to-image': ['image'], inpaint: ['image', 'maskImage'] } as const
    for (const name of needed[this.#task])
      if (args[name] === undefined) throw wrong(name, `given, because this pipeline does ${this.#task}`, undefined)
    return this.#task
  }

  #default(name: 'numInferenceSteps' | 'guidanceScale', task: Task): number {
    const { modelInfo: info } = this.#components
    const usual = defaultsOf(info.family, info.task)[name]
    // The model's own word counts for every task; where it has none, each of diffusers' pipelines has its own.
    return info[name] === usual ? defaultsOf(info.family, task)[name] : info[name]
  }

  async #start(args: GenerateArguments, task: Task, batch: number): Promise<Start> {
    const { unet, modelInfo: info } = this.#components
    const latentChannels = task === 'text-to-image' ? unet.inChannels : info.latentChannels
    if (task !== 'inpaint' && unet.inChannels !== info.latentChannels)
      throw new EngineError(
        'argument',
        `This model's UNet takes ${unet.inChannels} channels: it paints into images, so give \`image\` and \`maskImage\`.`,
      )
    const scheduler = freshScheduler(this.scheduler)
    const strength = args.strength ?? defaultsOf(info.family, task).strength
    const timesteps = this.#timesteps(
      scheduler,
      args.numInferenceSteps ?? this.#default('numInferenceSteps', task),
      strength,
      task,
    )
    const generators = args.generator ?? (task === 'text-to-image' ? undefined : randomGenerator())
    if (task === 'text-to-image') {
      const { height, width } = this.#size(args)
      const dims = [batch, latentChannels, height / info.vaeScaleFactor, width / info.vaeScaleFactor]
      checkLatents(args.latents, dims)
      return {
        scheduler,
        timesteps,
        latents: noiseLatents(dims, scheduler, generators, args.latents),
        inpainting: undefined,
      }
    }
    const images = await loadImages(args.image!, 'image')
    return task === 'image-to-image'
      ? this.#startFromImage(args, images, batch, scheduler, timesteps)
      : this.#startInpainting(args, images, batch, scheduler, timesteps, strength)
  }

  async #startFromImage(
    args: GenerateArguments,
    images: readonly Bitmap[],
    batch: number,
    scheduler: Scheduler,
    timesteps: readonly number[],
  ): Promise<Start> {
    const { vae, modelInfo: info } = this.#components
    const side = (pixels: number) => pixels - (pixels % info.vaeScaleFactor)
    const height = side(args.height ?? images[0]!.height)
    const width = side(args.width ?? images[0]!.width)
    if (height === 0 || width === 0)
      throw wrong(
        'image',
        `at least ${info.vaeScaleFactor} pixels on each side`,
        `${images[0]!.width}×${images[0]!.height}`,
      )
    if (args.latents) {
      checkLatents(args.latents, [
        batch,
        info.latentChannels,
        height / info.vaeScaleFactor,
        width / info.vaeScaleFactor,
      ])
      return { scheduler, timesteps, latents: args.latents, inpainting: undefined }
    }
    const pixels = preprocessImages(images, height, width)
    const generators = args.generator ?? randomGenerator()
    const latents = await imageLatents(pixels, batch, vae, scheduler, timesteps[0]!, generators)
    return { scheduler, timesteps, latents, inpainting: undefined }
  }

  async #startInpainting(
    args: GenerateArguments,
    images: readonly Bitmap[],
    batch: number,
    scheduler: Scheduler,
    timesteps: readonly number[],
    strength: number,
  ): Promise<Start> {
    const { unet, vae, modelInfo: info } = this.#components
    const masks = await loadImages(args.maskImage!, 'maskImage')
    const [image, mask] = [images[0]!, masks[0]!]
    if (image.width !== mask.width || image.height !== mask.height)
      throw wrong('maskImage', `as large as image (${image.width}×${image.height})`, `${mask.width}×${mask.height}`)
    const seesMask = unet.inChannels !== info.latentChannels
    if (seesMask && unet.inChannels !== 2 * info.latentChannels + 1)
      throw new EngineError(
        'model',
        `This model's UNet takes ${unet.inChannels} channels and cannot inpaint; use another.`,
      )
    const { height, width } = this.#size(args)
    checkLatents(args.latents, [batch, info.latentChannels, height / info.vaeScaleFactor, width / info.vaeScaleFactor])
    const start = await inpaintLatents(vae, scheduler, {
      images: preprocessImages(images, height, width),
      masks: preprocessMasks(masks, height, width),
      batch,
      timestep: timesteps[0]!,
      isStrengthMax: strength === 1,
      seesMask,
      generators: args.generator ?? randomGenerator(),
      latents: args.latents,
    })
    return { scheduler, timesteps, ...start }
  }

  /** LCM's image-to-image builds its schedule for the strength; all others leave the first steps of theirs out. */
  #timesteps(scheduler: Scheduler, steps: number, strength: number, task: Task): readonly number[] {
    const { family } = this.#components.modelInfo
    if (task === 'text-to-image') {
      scheduler.setTimesteps(steps)
      if (family === 'stable-diffusion-xl') scheduler.setBeginIndex(0)
      return scheduler.timesteps
    }
    if (task === 'image-to-image' && family === 'latent-consistency') {
      scheduler.setTimesteps(steps, { strength })
      return scheduler.timesteps
    }
    scheduler.setTimesteps(steps)
    const run = Math.min(Math.trunc(steps * strength), steps)
    const first = (steps - run) * scheduler.order
    scheduler.setBeginIndex(first)
    const timesteps = scheduler.timesteps.slice(first)
    // PNDM has a timestep to spare, which diffusers' image-to-image takes and its inpainting does not.
    if (timesteps.length === 0 || (task === 'inpaint' && run === 0))
      throw wrong('strength', `at least ${1 / steps} with ${steps} steps, so that one of them runs`, strength)
    return timesteps
  }

  #size({ height, width }: GenerateArguments): { height: number; width: number } {
    const { modelInfo: info } = this.#components
    // Stable Diffusion's own text-to-image takes both sides from the model unless both are given.
    const both = info.family === 'stable-diffusion' && (height === undefined || width === undefined)
    const size = { height: (both ? undefined : height) ?? info.height, width: (both ? undefined : width) ?? info.width }
    for (const side of ['height', 'width'] as const)
      if (size[side] % info.vaeScaleFactor !== 0) throw wrong(side, `a multiple of ${info.vaeScaleFactor}`, size[side])
    return size
  }

  async #encodePrompts(
    args: GenerateArguments,
    { prompts, negativePrompts }: ReturnType<typeof promptLists>,
    usesGuidance: boolean,
  ) {
    const { promptEncoder, config } = this.#components
    const { promptWeighting = false, clipSkip = 0, numImagesPerPrompt = 1 } = args
    const encoded = await inOrder(prompts, (prompt) => promptEncoder.encode(prompt, { promptWeighting, clipSkip }))
    if (!usesGuidance) return textRows(encoded, undefined, numImagesPerPrompt)
    if (negativePrompts === undefined && config.force_zeros_for_empty_prompt === true)
      return textRows(encoded, encoded.map(zerosLike), numImagesPerPrompt)
    // diffusers skips layers for the prompt alone, AUTOMATIC1111 for both.
    const skip = promptWeighting ? clipSkip : 0
    const negative = await inOrder(negativePrompts ?? prompts.map(() => ''), (prompt) =>
      promptEncoder.encode(prompt, { promptWeighting, clipSkip: skip }),
    )
    return textRows(encoded, negative, numImagesPerPrompt)
  }

  /** SDXL's sizes: original, crop, target; or, for models trained so, an aesthetic score in the target's place. */
  #timeIds(height: number, width: number, batch: number, usesGuidance: boolean, task: Task): Tensor {
    const aesthetic = task !== 'text-to-image' && this.#components.config.requires_aesthetics_score === true
    const ids = (score: number) => [height, width, 0, 0, ...(aesthetic ? [score] : [height, width])]
    const { timeIdsLength } = this.#components.unet
    if (ids(0).length !== timeIdsLength)
      throw new EngineError(
        'model',
        `The UNet takes ${timeIdsLength} time ids but this pipeline makes ${ids(0).length}; set requires_aesthetics_score to` +
          ` ${timeIdsLength === 5} in model_index.json, or give an image.`,
      )
    if (!usesGuidance) return repeatRow(ids(6), batch)
    const row = repeatRow(ids(2.5), 2 * batch)
    row.data.set(repeatRow(ids(6), batch).data, row.data.length / 2)
    return row
  }
}

interface Start {
  readonly scheduler: Scheduler
  readonly timesteps: readonly number[]
  readonly latents: Tensor
  readonly inpainting: Inpainting | undefined
}

function checkLatents(latents: Tensor | undefined, dims: readonly number[]): void {
  if (latents && latents.dims.join() !== dims.join())
    throw wrong('latents', `of the shape [${dims.join(', ')}]`, `[${latents.dims.join(', ')}]`)
}

function randomGenerator(): Generator {
  return new Generator(crypto.getRandomValues(new Uint32Array(1))[0]!)
}

async function inOrder<From, To>(items: readonly From[], run: (item: From) => Promise<To>): Promise<To[]> {
  const results: To[] = []
  for (const item of items) results.push(await run(item))
  return results
}

async function fetchModel(
  model: string,
  options: FromPretrainedOptions,
  tell: (progress: LoadProgress) => void,
): Promise<string> {
  if (!isRepositoryName(model))
    throw new EngineError('model', `There is no folder ${model}; check the path, or give a hub repository as org/name.`)
  return downloadPipeline(model, {
    revision: options.revision,
    dtype: options.dtype ?? 'auto',
    onGpu: prefersHalf(options),
    onProgress: (file, loaded, total) => tell({ status: 'download', file, loaded, total }),
    onNotice: (message) => tell({ status: 'notice', message }),
  })
}

function warnOfNotices(progress: LoadProgress): void {
  if (progress.status === 'notice') process.emitWarning(progress.message)
}
