/** The denoising loop, one model evaluation at a time: `generate()` runs it to the end, a bot's engine between other work. */

import { EngineError, throwIfAborted } from '../errors.ts'
import { type NumpyImages, postprocess, toBitmaps, toPng } from '../images/image-processor.ts'
import { residualsOfRow } from '../models/controlnet.ts'
import type { Feeds } from '../models/onnx-runtime-model.ts'
import type { StableDiffusionSafetyChecker } from '../models/safety-checker.ts'
import type { Conditioning, ControlNetResiduals, UNet2DConditionModel } from '../models/unet.ts'
import type { AutoencoderKL } from '../models/vae.ts'
import type { Generators } from '../random/generator.ts'
import type { Scheduler, StepOptions, StepOutput } from '../schedulers/scheduler.ts'
import { concatRows, rowsOf, type Tensor } from '../tensor.ts'
import type { OutputType } from './arguments.ts'
import { type Control, conditioningOfRow } from './control.ts'
import type { Inpainting } from './initial-latents.ts'

export interface PipelineOutput<Output extends OutputType = OutputType> {
  /** 'png': Buffers; 'np': `[n, h, w, 3]` in 0..1; 'latent': `[n, channels, h / 8, w / 8]`. */
  readonly images: Output extends 'png' ? Buffer[] : Tensor
  /** One flag an image where the model has a safety checker; the images are given as they are, the caller decides. */
  readonly nsfwContentDetected?: readonly boolean[]
}

/** The models that a sampling uses. */
export interface SamplingModels {
  readonly unet: UNet2DConditionModel
  readonly vae: AutoencoderKL
  readonly safetyChecker?: StableDiffusionSafetyChecker
}

export interface SamplingPlan {
  /** This sampling's own, its timesteps set. */
  readonly scheduler: Scheduler
  /** Those of the scheduler's that are visited. */
  readonly timesteps: readonly number[]
  readonly latents: Tensor
  /** Rows as the UNet takes them: twice as many as latents with guidance. */
  readonly conditioning: Conditioning
  /** What the UNet's branches are fed; nothing for the plain model. */
  readonly lora: Feeds | undefined
  /** Where ControlNets take part. */
  readonly control?: Control | undefined
  readonly guidanceScale: number
  readonly usesGuidance: boolean
  /** One row a call: half the memory, or less. */
  readonly oneRowAtATime: boolean
  /** Frees the UNet before decoding, and the rest after. */
  readonly offloads: boolean
  readonly eta: number
  readonly generators: Generators | undefined
  readonly inpainting: Inpainting | undefined
  readonly outputType: OutputType
  /** Latents to go on with, or nothing. */
  readonly onStepEnd: ((step: number, timestep: number, latents: Tensor) => Promise<Tensor | undefined>) | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * One batch of images on its way. Nothing but its own state decides what it becomes, so any number of them may take turns.
 *
 * ```ts
 * const sampling = await pipe.begin({ prompt: 'a red apple', generator: new Generator(1) })
 * while (!sampling.done) await sampling.next()
 * const { images } = await sampling.finish()
 * ```
 */
export class Sampling<Output extends OutputType = OutputType> {
  readonly #models: SamplingModels
  readonly #plan: SamplingPlan
  /** The UNet's input, filled anew in each step. */
  readonly #sample: Tensor
  readonly #stepOptions: StepOptions
  #latents: Tensor
  #lastStep: StepOutput | undefined
  #step = 0

  constructor(models: SamplingModels, plan: SamplingPlan) {
    this.#models = models
    this.#plan = plan
    this.#stepOptions = { eta: plan.eta, ...(plan.generators && { generator: plan.generators }) }
    this.#latents = plan.latents
    const [rows = 0, , height = 0, width = 0] = plan.latents.dims
    const dims = [plan.usesGuidance ? 2 * rows : rows, models.unet.inChannels, height, width]
    this.#sample = { data: new Float32Array(dims.reduce((product, dim) => product * dim, 1)), dims }
    if (plan.inpainting && 'maskedImageLatents' in plan.inpainting) this.#fillMasks(plan.inpainting)
  }

  /** Model evaluations done. */
  get step(): number {
    return this.#step
  }

  /** Model evaluations in all. */
  get steps(): number {
    return this.#plan.timesteps.length
  }

  get done(): boolean {
    return this.#step === this.steps
  }

  /** `[images, channels, height / 8, width / 8]`, as noisy as the step left them. */
  get latents(): Tensor {
    return this.#latents
  }

  /** What the last step took the finished latents for, where its method says so: for previews. */
  get predOriginalSample(): Tensor | undefined {
    return this.#lastStep?.predOriginalSample
  }

  /**
   * One model evaluation.
   * @throws EngineError 'numeric' for NaN, 'device' when the device fails, 'aborted' or the signal's own `reason`.
   */
  async next(): Promise<void> {
    const { scheduler, timesteps, usesGuidance, guidanceScale, onStepEnd, signal } = this.#plan
    if (this.done) throw new EngineError('argument', 'This sampling is done: call finish(), or begin another.')
    throwIfAborted(signal)
    const timestep = timesteps[this.#step]!
    const prediction = await this.#predict(scheduler.scaleModelInput(this.#latents, timestep), timestep)
    const modelOutput = usesGuidance ? guide(prediction, guidanceScale, this.#latents.dims) : prediction
    this.#lastStep = scheduler.step(modelOutput, timestep, this.#latents, this.#stepOptions)
    this.#latents = this.#keepUnmasked(this.#lastStep.prevSample)
    if (onStepEnd) this.#latents = (await onStepEnd(this.#step, timestep, this.#latents)) ?? this.#latents
    this.#step++
  }

  /**
   * Decodes the latents as they are now, asks the safety checker, and gives what `outputType` asked for.
   * @throws EngineError 'aborted', or the signal's own `reason`.
   */
  async finish(): Promise<PipelineOutput<Output>> {
    const { outputType, signal, offloads } = this.#plan
    const { unet, vae, safetyChecker } = this.#models
    throwIfAborted(signal)
    if (offloads) await unet.model.release()
    if (outputType === 'latent') return { images: this.#latents } as PipelineOutput<Output>
    const images = postprocess(await vae.decode(this.#latents))
    const nsfwContentDetected = await safetyChecker?.check(images)
    if (offloads) await Promise.all([vae.decoder.release(), safetyChecker?.model.release()])
    const output: PipelineOutput = {
      images: outputType === 'np' ? images : await pngs(images),
      ...(nsfwContentDetected && { nsfwContentDetected }),
    }
    return output as PipelineOutput<Output>
  }

  async #predict(latents: Tensor, timestep: number): Promise<Tensor> {
    this.#fillLatents(latents)
    const { conditioning, lora, oneRowAtATime, control } = this.#plan
    const part = { from: this.#step / this.steps, to: (this.#step + 1) / this.steps }
    const residuals = await control?.residuals(latents, timestep, conditioning, part, oneRowAtATime)
    return oneRowAtATime
      ? this.#predictByRow(timestep, conditioning, residuals)
      : this.#models.unet.forward(this.#sample, timestep, conditioning, { residuals, lora })
  }

  async #predictByRow(
    timestep: number,
    conditioning: Conditioning,
    residuals: ControlNetResiduals | undefined,
  ): Promise<Tensor> {
    const predictions: Tensor[] = []
    for (const [row, sample] of rowsOf(this.#sample).entries()) {
      const own = conditioningOfRow(conditioning, row)
      const additions = { residuals: residuals && residualsOfRow(residuals, row), lora: this.#plan.lora }
      predictions.push(await this.#models.unet.forward(sample, timestep, own, additions))
    }
    return concatRows(predictions)
  }

  /** Each row of the UNet's input begins with the latents; with guidance the batch stands there twice. */
  #fillLatents({ data, dims }: Tensor): void {
    const { data: target, dims: targetDims } = this.#sample
    const size = data.length / dims[0]!
    const stride = target.length / targetDims[0]!
    for (let row = 0; row < targetDims[0]!; row++) {
      const from = (row % dims[0]!) * size
      target.set(data.subarray(from, from + size), row * stride)
    }
  }

  /** Behind the latents, and the same in every step: the mask, then the masked image's latents. */
  #fillMasks({ mask, maskedImageLatents }: { mask: Tensor; maskedImageLatents: Tensor }): void {
    const { data: target, dims } = this.#sample
    const rows = maskedImageLatents.dims[0]!
    const stride = target.length / dims[0]!
    const [maskSize, imageSize] = [mask.data.length / rows, maskedImageLatents.data.length / rows]
    for (let row = 0; row < dims[0]!; row++) {
      const from = row % rows
      const at = (row + 1) * stride - maskSize - imageSize
      target.set(mask.data.subarray(from * maskSize, (from + 1) * maskSize), at)
      target.set(maskedImageLatents.data.subarray(from * imageSize, (from + 1) * imageSize), at + maskSize)
    }
  }

  #keepUnmasked(latents: Tensor): Tensor {
    const { inpainting, scheduler, timesteps } = this.#plan
    if (!inpainting || !('imageLatents' in inpainting)) return latents
    const { mask, imageLatents, noise } = inpainting
    const next = timesteps[this.#step + 1]
    const kept = next === undefined ? imageLatents : scheduler.addNoise(imageLatents, noise, next)
    const plane = latents.dims[2]! * latents.dims[3]!
    const row = latents.dims[1]! * plane
    const data = new Float32Array(latents.data.length)
    for (let i = 0; i < data.length; i++) {
      const m = mask.data[Math.floor(i / row) * plane + (i % plane)]!
      data[i] = (1 - m) * kept.data[i]! + m * latents.data[i]!
    }
    return { data, dims: latents.dims }
  }
}

/** Classifier-free guidance (Ho and Salimans 2022), written over the unconditional half, which nobody else holds. */
function guide({ data }: Tensor, guidanceScale: number, dims: readonly number[]): Tensor {
  const half = data.length / 2
  for (let i = 0; i < half; i++) data[i] = data[i]! + guidanceScale * (data[half + i]! - data[i]!)
  return { data: data.subarray(0, half), dims }
}

async function pngs(images: NumpyImages): Promise<Buffer[]> {
  const encoded: Buffer[] = []
  for (const bitmap of toBitmaps(images)) encoded.push(await toPng(bitmap))
  return encoded
}
