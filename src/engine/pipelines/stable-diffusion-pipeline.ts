/** diffusers' `StableDiffusionPipeline`, for every family: open a model, ask for images, all at once or step by step. */

import { bestDevice, type Device, prepareToTry, requireDevice, unavailable } from '../devices/device.ts'
import { EngineError, throwIfAborted } from '../errors.ts'
import type { PipelineClass, Task } from '../families/family.ts'
import type { Scheduler } from '../schedulers/scheduler.ts'
import { AdapterLoader } from './adapter-loader.ts'
import {
  checkArguments,
  checkTensor,
  type GenerateArguments,
  type OutputType,
  refuseControlArguments,
} from './arguments.ts'
import { type Components, modelsOf } from './components.ts'
import { conditioningOf } from './conditioning.ts'
import { Control, controlSize } from './control.ts'
import { type ModelInfo, modelDefaults } from './model-info.ts'
import { type FromPretrainedOptions, openModel } from './open-model.ts'
import { type PipelineOutput, Sampling } from './sampling.ts'
import { freshScheduler, mendedOffset, mendedScheduler } from './scheduler-state.ts'
import { startingPoint } from './starting-point.ts'
import { wrong } from './wrong-argument.ts'

export class StableDiffusionPipeline extends AdapterLoader {
  readonly #components: Components
  readonly #task: Task
  #scheduler: Scheduler
  #guidanceSlicing = false
  #offloading = false

  /** @param components Another pipeline's; its models are shared, not copied. */
  constructor(components: Components) {
    super()
    this.#components = components
    if (this.usesControlNet && !components.controlnet?.length)
      throw new EngineError('argument', 'This pipeline needs a ControlNet; give one as `controlnet`.')
    this.#task = this.ownTask ?? components.modelInfo.task
    this.#scheduler = this.#mends ? mendedScheduler(components.scheduler, this.#task) : components.scheduler
  }

  /**
   * Opens a model.
   * @param model A folder in diffusers' layout with PyTorch's weights or ONNX graphs, one file in the original layout, or a
   *   repository of the Hugging Face hub, 'org/name', or one file of it, 'org/name/file.safetensors'.
   * @throws EngineError 'model' for what is no pipeline or is damaged, 'device' when the device cannot run it.
   */
  static async fromPretrained<Pipeline extends StableDiffusionPipeline>(
    this: new (
      components: Components,
    ) => Pipeline,
    model: string,
    options: FromPretrainedOptions = {},
  ): Promise<Pipeline> {
    return new this(await openModel(model, options))
  }

  /**
   * Opens one file in the original layout, a checkpoint as civitai has them; `fromPretrained` takes one too.
   * @param file Its path, or 'org/name/file.safetensors' of the Hugging Face hub.
   * @throws EngineError as `fromPretrained`
   */
  static async fromSingleFile<Pipeline extends StableDiffusionPipeline>(
    this: new (
      components: Components,
    ) => Pipeline,
    file: string,
    options: FromPretrainedOptions = {},
  ): Promise<Pipeline> {
    return new this(await openModel(file, options))
  }

  /** The task of the class; nothing where the model's folder decides. */
  protected get ownTask(): Task | undefined {
    return undefined
  }

  /** Whether the class draws with a ControlNet. */
  protected get usesControlNet(): boolean {
    return false
  }

  /** May be replaced: `pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config)`. */
  get scheduler(): Scheduler {
    return this.#scheduler
  }

  set scheduler(scheduler: Scheduler) {
    this.#scheduler = this.#mends ? mendedOffset(scheduler) : scheduler
  }

  /** What other pipelines are made from, with the scheduler as it is now. */
  override get components(): Components {
    return { ...this.#components, scheduler: this.scheduler }
  }

  get modelInfo(): ModelInfo {
    return this.#components.modelInfo
  }

  get device(): Device {
    return this.#components.unet.model.device
  }

  /**
   * Moves every part to a device; 'auto' takes the best that works, and warns of one that is installed and fails.
   * @throws EngineError 'device' when it cannot run there; parts that were moved before stay moved.
   */
  async to(device: Device | 'auto'): Promise<this> {
    const wanted = device === 'auto' ? bestDevice() : requireDevice(device)
    const why = unavailable(wanted)
    if (why) throw new EngineError('device', `The device '${wanted}' cannot be used: ${why}; or use device 'cpu'.`)
    if (device === 'auto') prepareToTry(wanted)
    try {
      for (const model of modelsOf(this.#components)) await model.to(wanted)
    } catch (error) {
      const mayMove = device === 'auto' && wanted !== 'cpu'
      if (!mayMove || !(error instanceof EngineError) || error.code !== 'device') throw error
      process.emitWarning(`Not using ${wanted}: ${error.message}`)
      return this.to('cpu')
    }
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
    const isNamed = sliceSize === 'auto' || sliceSize === 'max'
    if (!isNamed && !(Number.isInteger(sliceSize) && sliceSize >= 1)) {
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
   *   'aborted', or the signal's own `reason`, when it is aborted.
   */
  async generate<Output extends OutputType = 'png'>(args: GenerateArguments<Output>): Promise<PipelineOutput<Output>> {
    const sampling = await this.begin(args)
    while (!sampling.done) await sampling.next()
    return sampling.finish()
  }

  /** The same, step by step: encodes the prompts, draws the noise, and leaves the rest to the caller. */
  async begin<Output extends OutputType = 'png'>(args: GenerateArguments<Output>): Promise<Sampling<Output>> {
    checkArguments(args)
    throwIfAborted(args.signal)
    const task = this.#taskOf(args)
    const { modelInfo: info, generationConfig } = this.#components
    const pipelineClass = this.#pipelineClass(task)
    const defaults = modelDefaults(pipelineClass, generationConfig)
    const guidanceScale = args.guidanceScale ?? defaults.guidanceScale
    const usesGuidance = guidanceScale > 1 && info.usesNegativePrompt
    const prompts = typeof args.prompt === 'string' ? 1 : args.prompt.length
    const batch = prompts * (args.numImagesPerPrompt ?? 1)
    if (Array.isArray(args.generator) && args.generator.length !== batch)
      throw wrong('generator', `one generator, or a list of ${batch}, one an image`, `${args.generator.length} of them`)

    const scheduler = freshScheduler(this.#scheduler)
    const controlImages = this.#controlImages(task, args)
    const ownSize = controlImages && task === 'text-to-image'
    const sized = ownSize ? { ...args, ...(await controlSize(controlImages, args, info.vaeScaleFactor)) } : args
    const start = await startingPoint(task, pipelineClass, this.#components, scheduler, sized, defaults, batch)
    const [height, width] = start.latents.dims.slice(2).map((side) => side * info.vaeScaleFactor) as [number, number]
    const lora = this.#components.loras.feeds(args.adapters, args.crossAttentionKwargs?.scale)
    const options = { task, height, width, batch, guidanceScale, usesGuidance, lora }
    const conditioning = await conditioningOf(this.#components, args, options)
    const control =
      controlImages &&
      (await Control.prepare(this.#components.controlnet ?? [], controlImages, args, {
        ...{ height, width, batch, usesGuidance },
        numImagesPerPrompt: args.numImagesPerPrompt ?? 1,
        conditioningScale: this.#components.family.controlNetPipelines[task].controlnetConditioningScale,
      }))
    if (this.#offloading) await this.#releaseEncoders()
    throwIfAborted(args.signal)
    const { callbackOnStepEnd } = args
    const replaceable = start.timesteps.length - (pipelineClass.decodesLastPrediction ? 1 : 0)
    return new Sampling<Output>(this.#components, {
      ...start,
      conditioning,
      lora: lora?.byPart.get('unet'),
      ...(control && { control }),
      guidanceScale,
      usesGuidance,
      oneRowAtATime: this.#guidanceSlicing,
      offloads: this.#offloading,
      eta: args.eta ?? 0,
      generators: args.generator,
      outputType: args.outputType ?? 'png',
      onStepEnd:
        callbackOnStepEnd &&
        (async (step, timestep, latents) => {
          const given = (await callbackOnStepEnd(this, step, timestep, { latents }))?.latents
          if (given) checkTensor("callbackOnStepEnd's latents", given, latents.dims)
          return step < replaceable ? given : undefined
        }),
      signal: args.signal,
    })
  }

  async #releaseEncoders(): Promise<void> {
    const { vae, promptEncoder } = this.#components
    await vae.encoder?.release()
    for (const { textEncoder } of promptEncoder.parts) await textEncoder.model.release()
  }

  get #mends(): boolean {
    return this.#pipelineClass(this.#task).mendsScheduler
  }

  #pipelineClass(task: Task): PipelineClass {
    const { family } = this.#components
    return (this.usesControlNet ? family.controlNetPipelines : family.pipelines)[task]
  }

  /** What the ControlNets see; nothing where the class has none. */
  #controlImages(task: Task, args: GenerateArguments): GenerateArguments['image'] {
    if (!this.usesControlNet) {
      refuseControlArguments(args)
      return undefined
    }
    const name = task === 'text-to-image' ? 'image' : 'controlImage'
    if (args[name] === undefined)
      throw new EngineError('argument', `\`${name}\` has to be given, because the ControlNet needs a picture.`)
    return args[name]
  }

  #taskOf(args: GenerateArguments): Task {
    if (this.ownTask === undefined && args.image !== undefined)
      return args.maskImage === undefined ? 'image-to-image' : 'inpaint'
    const needed = { 'text-to-image': [], 'image-to-image': ['image'], inpaint: ['image', 'maskImage'] } as const
    for (const name of needed[this.#task])
      if (args[name] === undefined)
        throw new EngineError('argument', `\`${name}\` has to be given, because this pipeline does ${this.#task}.`)
    return this.#task
  }
}
