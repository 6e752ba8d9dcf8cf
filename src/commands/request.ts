/** From what a person typed to a complete request, or one sentence that names the option, the value and the range. */

import type { Model } from '../engine/process/engine.ts'
import { UserError } from '../job/errors.ts'
import { type Request, randomSeed } from '../job/request.ts'
import {
  imagineOptions,
  MAX_PROMPT_LENGTH,
  type Option,
  type OptionName,
  type OptionValue,
  type OptionValues,
} from './options.ts'

/**
 * Checks every value and fills in the model's defaults. `maxSize` is the longest side allowed, in pixels.
 * @throws UserError `option`
 */
export function parseRequest(values: OptionValues, model: Model, maxSize: number, maxCount?: number): Request {
  const options = imagineOptions(model, maxSize, maxCount)
  const number = (name: OptionName) => numberOf(options.find((option) => option.name === name)!, values[name])
  const clipSkip = number('clip-skip') ?? model.clipSkip
  const prompt = textOf('prompt', values.prompt)
  if (prompt === '') throw new UserError('option', 'prompt is empty; say what to draw, such as /imagine a red apple.')
  return {
    prompt,
    negativePrompt: textOf('negative', values.negative),
    seed: number('seed') ?? randomSeed(),
    variations: [],
    numInferenceSteps: number('steps') ?? model.numInferenceSteps,
    guidanceScale: number('guidance') ?? model.guidanceScale,
    ...(clipSkip !== model.clipSkip && { clipSkip }),
    ...sizeOf(values, model, maxSize),
    numImagesPerPrompt: number('count') ?? 1,
    upscale: 1,
    transparent: booleanOf('transparent', values.transparent),
  }
}

/** Whether anything is to be seen: all but spaces, marks without a letter, and characters that show nothing. */
const INK = /[^\p{Z}\p{M}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/u

/**
 * Control characters, spaces of no width and characters that turn the reading direction are dropped: they could hide
 * what a prompt says. What comes out stays as it is when it goes in again, so that a picture's own
 * parameters repeat it.
 */
function textOf(name: OptionName, value: OptionValue | undefined): string {
  const text = String(value ?? '')
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .replace(/[\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu, '')
    .normalize('NFC')
    .trim()
  if (!INK.test(text)) return ''
  const { length } = [...text]
  if (length > MAX_PROMPT_LENGTH) {
    throw new UserError('option', `${name} is ${length} characters long; ${MAX_PROMPT_LENGTH} is the most.`)
  }
  return text
}

function numberOf(option: Option, value: OptionValue | undefined): number | undefined {
  if (value === undefined || value === '') return undefined
  const { name, type, min, max } = option
  const number = /^[+-]?(\d+\.?\d*|\.\d+)$/u.test(String(value).trim()) ? Number(value) : Number.NaN
  const fits = type === 'integer' ? Number.isSafeInteger(number) : Number.isFinite(number)
  if (!fits || number < min! || number > max!) {
    const kind = type === 'integer' ? 'a whole number' : 'a number'
    const range = min === max ? `${min}, the only value that this model takes` : `${kind} from ${min} to ${max}`
    throw new UserError('option', `${name} is ${quote(value)}; it must be ${range}.`)
  }
  return number
}

function booleanOf(name: OptionName, value: OptionValue = ''): boolean {
  const text = String(value).trim().toLowerCase()
  if (text === 'true') return true
  if (text === 'false' || text === '') return false
  throw new UserError('option', `${name} is ${quote(value)}; it must be true or false.`)
}

/** The longest side that may be asked for, in pixels: the setting, or else twice what the model was made for. */
export function maxSizeOf(setting: number | undefined, { width, height }: Pick<Model, 'width' | 'height'>): number {
  return setting ?? 2 * Math.max(width, height)
}

function sizeOf({ size, aspect }: OptionValues, model: Model, maxSize: number): { width: number; height: number } {
  const [width, height] =
    size === undefined || size === '' ? [model.width, model.height] : sidesOf(size, model, maxSize)
  if (aspect === undefined || aspect === '') return { width, height }
  return withAspect(aspect, width * height, model, maxSize)
}

function sidesOf(size: OptionValue, model: Model, maxSize: number): [number, number] {
  const match = /^(\d{1,5})(?:\s*[x×*:,]\s*(\d{1,5}))?$/iu.exec(String(size).trim())
  const sides: [number, number] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  const step = model.sizeMultiple
  if (sides.every((side) => side >= step && side <= maxSize && side % step === 0)) return sides
  throw new UserError(
    'option',
    `size is ${quote(size)}; both sides must be multiples of ${step} from ${step} to ${maxSize}, such as ${model.width}x${model.height}.`,
  )
}

/** The two multiples nearest to the ratio at the same number of pixels. */
function withAspect(aspect: OptionValue, pixels: number, model: Model, maxSize: number) {
  const match = /^(\d{1,4}(?:\.\d{1,3})?)\s*[:x/]\s*(\d{1,4}(?:\.\d{1,3})?)$/u.exec(String(aspect).trim())
  const ratio = match ? Number(match[1]) / Number(match[2]) : Number.NaN
  if (!(ratio >= 1 / 4 && ratio <= 4)) {
    throw new UserError('option', `aspect is ${quote(aspect)}; it must be a ratio from 1:4 to 4:1, such as 16:9.`)
  }
  const step = model.sizeMultiple
  const side = (length: number) =>
    Math.min(Math.floor(maxSize / step) * step, Math.max(step, Math.round(length / step) * step))
  return { width: side(Math.sqrt(pixels * ratio)), height: side(Math.sqrt(pixels / ratio)) }
}

function quote(value: OptionValue): string {
  const text = String(value).replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, ' ')
  return text.length > 40 ? `“${text.slice(0, 40)}…”` : `“${text}”`
}
