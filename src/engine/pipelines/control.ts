/** What ControlNets take part in a sampling, with which pictures, how much and when. */

import { EngineError } from '../errors.ts'
import { type ImageInput, loadImages, preprocessControlImages } from '../images/image-processor.ts'
import { behindZeros, type ControlNetModel, concatResiduals, sumOfResiduals } from '../models/controlnet.ts'
import type { Conditioning, ControlNetResiduals } from '../models/unet.ts'
import { concatRows, rowsOf, type Tensor } from '../tensor.ts'
import type { GenerateArguments } from './arguments.ts'
import { wrong } from './wrong-argument.ts'

interface ControlNetUse {
  readonly controlnet: ControlNetModel
  /** `[rows, 3, H, W]` in 0..1. */
  readonly cond: Tensor
  readonly scale: number
  /** Shares of the steps between which it works. */
  readonly start: number
  readonly end: number
}

/** The picture that ControlNets see, or a list of as many as there are ControlNets. */
type ControlImages = NonNullable<GenerateArguments['image']>

export interface ControlOptions {
  readonly height: number
  readonly width: number
  /** Images in all. */
  readonly batch: number
  readonly numImagesPerPrompt: number
  readonly usesGuidance: boolean
  readonly conditioningScale: number
}

export class Control {
  readonly #uses: readonly ControlNetUse[]
  /** The prompt's rows alone are controlled. */
  readonly #guessMode: boolean
  readonly #usesGuidance: boolean

  private constructor(uses: readonly ControlNetUse[], guessMode: boolean, usesGuidance: boolean) {
    this.#uses = uses
    this.#guessMode = guessMode
    this.#usesGuidance = usesGuidance
  }

  /** @throws EngineError 'argument' */
  static async prepare(
    controlnets: readonly ControlNetModel[],
    images: ControlImages,
    args: GenerateArguments,
    options: ControlOptions,
  ): Promise<Control> {
    const guessMode = args.guessMode === true || controlnets[0]!.globalPoolConditions
    const scales = each(
      'controlnetConditioningScale',
      args.controlnetConditioningScale ?? options.conditioningScale,
      controlnets,
    )
    const starts = each('controlGuidanceStart', args.controlGuidanceStart ?? 0, controlnets)
    const ends = each('controlGuidanceEnd', args.controlGuidanceEnd ?? 1, controlnets)
    const uses: ControlNetUse[] = []
    for (const [i, own] of imagesOf(images, controlnets.length).entries()) {
      const [start, end] = [starts[i]!, ends[i]!]
      if (!(start >= 0 && start < end && end <= 1))
        throw wrong(
          'controlGuidanceStart',
          'from 0 to below controlGuidanceEnd, which is at most 1',
          `${start} and ${end}`,
        )
      const cond = await condOf(own, options, options.usesGuidance && !guessMode)
      uses.push({ controlnet: controlnets[i]!, cond, scale: scales[i]!, start, end })
    }
    return new Control(uses, guessMode, options.usesGuidance)
  }

  /**
   * @param latents `[images, channels, h, w]`, scaled as the UNet wants them.
   * @param conditioning Of the UNet's rows.
   * @param part Which share of the steps is done, and will be after this one.
   * @returns For each of the UNet's rows.
   */
  async residuals(
    latents: Tensor,
    timestep: number,
    conditioning: Conditioning,
    part: { readonly from: number; readonly to: number },
    oneRowAtATime: boolean,
  ): Promise<ControlNetResiduals> {
    const onlyPrompt = this.#guessMode && this.#usesGuidance
    const sample = this.#usesGuidance && !onlyPrompt ? concatRows([latents, latents]) : latents
    const own = onlyPrompt ? lastRows(conditioning, latents.dims[0]!) : conditioning
    const all: ControlNetResiduals[] = []
    for (const { controlnet, cond, scale, start, end } of this.#uses) {
      const isOn = part.from >= start && part.to <= end
      const run = (sample: Tensor, conditioning: Conditioning, cond: Tensor) =>
        controlnet.forward(sample, timestep, conditioning, cond, isOn ? scale : 0, this.#guessMode)
      all.push(oneRowAtATime ? await byRow(run, sample, own, cond) : await run(sample, own, cond))
    }
    const sum = sumOfResiduals(all)
    return onlyPrompt ? behindZeros(sum, latents.dims[0]!) : sum
  }
}

/** Height and width of a drawing that were not asked for: the first picture's, but for what latents cannot hold. */
export async function controlSize(
  images: ControlImages,
  asked: Pick<GenerateArguments, 'height' | 'width'>,
  vaeScaleFactor: number,
): Promise<{ height: number; width: number }> {
  const { height, width } = asked
  if (height !== undefined && width !== undefined) return { height, width }
  const [first] = await loadImages(firstOf(images), 'controlImage')
  const side = (pixels: number) => pixels - (pixels % vaeScaleFactor)
  return { height: height ?? side(first!.height), width: width ?? side(first!.width) }
}

function firstOf(images: ControlImages): ImageInput {
  return Array.isArray(images) ? firstOf(images[0]) : (images as ImageInput)
}

/** One row's part of what goes to the UNet. */
export function conditioningOfRow(conditioning: Conditioning, row: number): Conditioning {
  return mapConditioning(conditioning, (tensor) => rowsOf(tensor)[row]!)
}

function lastRows(conditioning: Conditioning, count: number): Conditioning {
  return mapConditioning(conditioning, (tensor) => concatRows(rowsOf(tensor).slice(-count)))
}

function mapConditioning(conditioning: Conditioning, change: (tensor: Tensor) => Tensor): Conditioning {
  const changed = Object.entries(conditioning).map(([name, tensor]) => [name, change(tensor as Tensor)])
  return Object.fromEntries(changed) as unknown as Conditioning
}

async function byRow(
  run: (sample: Tensor, conditioning: Conditioning, cond: Tensor) => Promise<ControlNetResiduals>,
  sample: Tensor,
  conditioning: Conditioning,
  cond: Tensor,
): Promise<ControlNetResiduals> {
  const rows: ControlNetResiduals[] = []
  const conds = rowsOf(cond)
  for (const [row, one] of rowsOf(sample).entries())
    rows.push(await run(one, conditioningOfRow(conditioning, row), conds[row]!))
  return concatResiduals(rows)
}

/** One number for all ControlNets, or one for each. */
function each(name: string, value: number | readonly number[], controlnets: readonly unknown[]): readonly number[] {
  const values = typeof value === 'number' ? controlnets.map(() => value) : value
  if (values.length !== controlnets.length || !values.every((one) => Number.isFinite(one)))
    throw wrong(name, controlnets.length === 1 ? 'a number' : `a number or a list of ${controlnets.length}`, value)
  return values
}

function imagesOf(images: ControlImages, count: number): (ImageInput | readonly ImageInput[])[] {
  if (count === 1) return [images as ImageInput | readonly ImageInput[]]
  if (Array.isArray(images) && images.length === count) return images
  throw new EngineError('argument', `There are ${count} ControlNets; give a list of ${count} pictures, one for each.`)
}

async function condOf(
  images: ImageInput | readonly ImageInput[],
  { height, width, batch, numImagesPerPrompt }: ControlOptions,
  doubled: boolean,
): Promise<Tensor> {
  const loaded = rowsOf(preprocessControlImages(await loadImages(images, 'controlImage'), height, width))
  const repeats = loaded.length === 1 ? batch : numImagesPerPrompt
  if (loaded.length * repeats !== batch)
    throw wrong(
      'controlImage',
      `one picture, or ${batch / numImagesPerPrompt}, one a prompt`,
      `${loaded.length} of them`,
    )
  const rows = loaded.flatMap((row) => Array<Tensor>(repeats).fill(row))
  return concatRows(doubled ? [...rows, ...rows] : rows)
}
