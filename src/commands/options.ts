/** The options of `/imagine`, written once: every surface's form, flags, checks and help are derived from this table. */

import type { Catalog, Model } from '../engine/process/engine.ts'

export type OptionName =
  | 'prompt'
  | 'negative'
  | 'seed'
  | 'steps'
  | 'guidance'
  | 'size'
  | 'aspect'
  | 'count'
  | 'transparent'
  | 'clip-skip'
  | 'model'
  | 'lora'

export interface Option {
  readonly name: OptionName
  /** A boolean's flag stands without a value. */
  readonly type: 'string' | 'integer' | 'number' | 'boolean'
  /** One line, at most 100 characters (Discord's limit). */
  readonly description: string
  readonly required?: boolean
  readonly maxLength?: number
  readonly min?: number
  readonly max?: number
  /** Offered for completion; other values of the same form are as good, unless `isStrict`. */
  readonly suggestions?: readonly string[]
  /** There are no other values than those. */
  readonly isStrict?: boolean
  /** Other names for it as an inline flag: `--no`, `--ar`. */
  readonly aliases?: readonly string[]
  /** What counts when it is left out, in words. */
  readonly default?: string
}

export type OptionValue = string | number | boolean

/** Whatever a surface collected, unchecked. */
export type OptionValues = Partial<Record<OptionName, OptionValue>>

export const MAX_PROMPT_LENGTH = 2000

/** CLIP has twelve layers, and AUTOMATIC1111's slider ends there with deeper models too. */
const MAX_CLIP_SKIP = 12

/** Pictures at once, in a chat. */
const MAX_COUNT = 4

/** A file's name has 255 bytes at most; where two are alike, folders stand before it. */
const MAX_NAME_LENGTH = 500

/** Nothing to choose from. */
const NOTHING: Catalog = { models: [], loras: [], embeddings: [] }

/**
 * The table for a model: its defaults stand in the help texts, or say so where no model is loaded yet. `maxSize` is the
 * longest side allowed, in pixels; `catalog` has what there is beside the model.
 */
export function imagineOptions(
  model: Model | undefined,
  maxSize: number,
  maxCount = MAX_COUNT,
  catalog: Catalog = NOTHING,
): readonly Option[] {
  const models = catalog.models.length > 0 ? catalog.models : model ? [model] : []
  const usual = (value: (model: Model) => unknown) => (model ? String(value(model)) : "the model's own")
  return [
    {
      name: 'prompt',
      type: 'string',
      description: 'What to draw',
      required: true,
      maxLength: MAX_PROMPT_LENGTH,
    },
    {
      name: 'negative',
      type: 'string',
      description: 'What to keep out of the picture',
      maxLength: MAX_PROMPT_LENGTH,
      aliases: ['no'],
      default: 'nothing',
    },
    {
      name: 'seed',
      type: 'integer',
      description: 'The same seed and options draw the same picture again',
      min: 0,
      max: 2 ** 32 - 1,
      default: 'a new one each time',
    },
    {
      name: 'steps',
      type: 'integer',
      description: 'More steps take longer and refine more',
      min: 1,
      max: 100,
      default: usual((model) => model.numInferenceSteps),
    },
    {
      name: 'guidance',
      type: 'number',
      description: 'How closely to follow the prompt',
      min: 0,
      max: 30,
      aliases: ['cfg'],
      default: usual((model) => model.guidanceScale),
    },
    {
      name: 'size',
      type: 'string',
      description: `Width and height in pixels, such as ${sizeOf(model)}`,
      maxLength: 20,
      suggestions: model ? sizeSuggestions(model, maxSize) : [],
      default: usual(sizeOf),
    },
    {
      name: 'aspect',
      type: 'string',
      description: 'Width to height, such as 16:9, at about the usual number of pixels',
      maxLength: 20,
      suggestions: ['1:1', '4:3', '3:4', '3:2', '2:3', '16:9', '9:16'],
      aliases: ['ar'],
      default: 'the shape of size',
    },
    {
      name: 'count',
      type: 'integer',
      description: 'How many pictures',
      min: 1,
      max: maxCount,
      aliases: ['n'],
      default: '1',
    },
    {
      name: 'transparent',
      type: 'boolean',
      description: 'A see-through ground, for emoji and stickers; kept where it is not of one colour',
      default: 'false',
    },
    {
      name: 'clip-skip',
      type: 'integer',
      description: 'Which layer of the text encoder to read, from the last; many anime models want 2',
      min: Math.min(...models.map(({ clipSkip }) => clipSkip), model ? MAX_CLIP_SKIP : 1),
      max: Math.min(
        Math.max(...models.map(({ maxClipSkip }) => maxClipSkip), model ? 1 : MAX_CLIP_SKIP),
        MAX_CLIP_SKIP,
      ),
      default: usual((model) => model.clipSkip),
    },
    ...networkOptions(catalog),
  ]
}

/** Only where there is something to choose. */
function networkOptions({ models, loras }: Catalog): Option[] {
  const model: Option = {
    name: 'model',
    type: 'string',
    description: 'Which model draws it',
    maxLength: MAX_NAME_LENGTH,
    suggestions: models.map(({ name }) => name),
    isStrict: true,
    ...(models[0] && { default: models[0].name }),
  }
  const lora: Option = {
    name: 'lora',
    type: 'string',
    description: 'LoRAs to add, such as ink:0.8, several with commas; <lora:ink:0.8> in the prompt says the same',
    maxLength: 2 * MAX_NAME_LENGTH,
    suggestions: loras.map(({ name }) => name),
    default: 'none',
  }
  return [...(models.length > 1 ? [model] : []), ...(loras.length > 0 ? [lora] : [])]
}

/**
 * What an option's value may become: suggestions that hold what was typed, in any case, those that begin with it first. Of a
 * list the last part is completed, and what stands before it is kept.
 */
export function completions({ name, suggestions = [] }: Option, typed: string): string[] {
  const before = name === 'lora' ? typed.slice(0, typed.lastIndexOf(',') + 1) : ''
  const begun = typed.slice(before.length).trim().toLowerCase()
  const fitting = suggestions.filter((one) => one.toLowerCase().includes(begun))
  const first = fitting.filter((one) => one.toLowerCase().startsWith(begun))
  const others = fitting.filter((one) => !one.toLowerCase().startsWith(begun))
  return [...first, ...others].map((one) => (before === '' ? one : `${before} ${one}`))
}

/** Whether an option is offered: where a model takes one value alone, there is nothing to choose. */
export function hasChoice({ min, max }: Pick<Option, 'min' | 'max'>): boolean {
  return min === undefined || min !== max
}

function sizeOf(model?: Model): string {
  return model ? `${model.width}x${model.height}` : '512x512'
}

function sizeSuggestions(model: Model, maxSize: number): string[] {
  const sizes = [
    [model.width, model.height],
    [model.width * 1.5, model.height],
    [model.width, model.height * 1.5],
    [model.width * 1.5, model.height * 1.5],
    [model.width * 2, model.height * 2],
  ] as const
  return sizes
    .filter((size) => size.every((side) => side <= maxSize && side % model.sizeMultiple === 0))
    .map(([width, height]) => `${width}x${height}`)
}
