/** What made a picture, as text in AUTOMATIC1111's form (its `modules/infotext_utils.py`), so that its readers and ours know. */

import type { Noise } from '../../job/request.ts'
import { EngineError } from '../errors.ts'

/** Everything that the pixels depend on. */
export interface Parameters extends Noise {
  readonly prompt: string
  readonly negativePrompt: string
  readonly numInferenceSteps: number
  readonly guidanceScale: number
  /** As AUTOMATIC1111 counts, 1 the last layer; absent where the model's own was read. */
  readonly clipSkip?: number
  /** Of the drawing, before it is enlarged. */
  readonly width: number
  readonly height: number
  /** 1, 2 or 4. */
  readonly upscale: number
  /** Whether the ground was cleared away. */
  readonly transparent: boolean
  /** diffusers' class name. */
  readonly scheduler: string
  readonly modelHash: string
  readonly model: string
  /** The program and its version: `Seedling 0.1.0`. */
  readonly version: string
}

/** Three parts: the prompt, the negative prompt if any, one line of `Name: value` pairs. */
export function formatParameters(parameters: Parameters): string {
  const { prompt, negativePrompt } = parameters
  const pairs = pairsOf(parameters)
  const text = join(prompt, negativePrompt, pairs)
  const [read, negative] = promptsOf(text)
  if (read === prompt && negative === negativePrompt) return text
  // A prompt may itself hold a line that looks like one of these parts; then it stands among the pairs too, quoted.
  return join(prompt, negativePrompt, [...pairs, ['Prompt', prompt], ['Negative prompt', negativePrompt]])
}

/** @throws EngineError `argument` that names what is missing or wrong, also for another program's text without them */
export function parseParameters(text: string): Parameters {
  const pairs = new Map(readPairs(lastLine(text)))
  const [prompt, negativePrompt] = promptsOf(text)
  const [width, height] = sizeOf(pairs.get('Size'))
  return {
    prompt: pairs.get('Prompt') ?? prompt,
    negativePrompt: pairs.get('Negative prompt') ?? negativePrompt,
    numInferenceSteps: numberOf('Steps', pairs.get('Steps')),
    guidanceScale: numberOf('CFG scale', pairs.get('CFG scale')),
    ...(pairs.has('Clip skip') && { clipSkip: numberOf('Clip skip', pairs.get('Clip skip')) }),
    seed: seedOf('Seed', pairs.get('Seed')),
    variations: variationsOf(pairs),
    width,
    height,
    upscale: numberOf('Hires upscale', pairs.get('Hires upscale') ?? '1', [1, 2, 4]),
    transparent: booleanOf('Transparent', pairs.get('Transparent')),
    scheduler: schedulerOf(pairs.get('Sampler') ?? ''),
    modelHash: pairs.get('Model hash') ?? '',
    model: pairs.get('Model') ?? '',
    version: pairs.get('Version') ?? '',
  }
}

type Pair = readonly [name: string, value: string]

function pairsOf(parameters: Parameters): Pair[] {
  const { clipSkip, variations, upscale, transparent } = parameters
  const pairs: Pair[] = [
    ['Steps', String(parameters.numInferenceSteps)],
    ['Sampler', SAMPLERS[parameters.scheduler] ?? parameters.scheduler],
    ['CFG scale', String(parameters.guidanceScale)],
    ['Seed', String(parameters.seed)],
    ['Size', `${parameters.width}x${parameters.height}`],
    ['Model hash', parameters.modelHash],
    ['Model', parameters.model],
    ['RNG', 'CPU'],
  ]
  if (clipSkip !== undefined) pairs.push(['Clip skip', String(clipSkip)])
  if (variations.length > 0) {
    pairs.push(
      ['Variation seed', variations.map(({ seed }) => seed).join(', ')],
      ['Variation seed strength', variations.map(({ strength }) => strength).join(', ')],
    )
  }
  if (upscale !== 1) pairs.push(['Hires upscale', String(upscale)], ['Hires upscaler', 'Lanczos'])
  if (transparent) pairs.push(['Transparent', 'true'])
  pairs.push(['Version', parameters.version])
  return pairs
}

const NEGATIVE = 'Negative prompt: '

function join(prompt: string, negativePrompt: string, pairs: readonly Pair[]): string {
  const negative = negativePrompt === '' ? [] : [NEGATIVE + negativePrompt]
  const line = pairs.map(([name, value]) => `${name}: ${quote(value)}`).join(', ')
  return [prompt, ...negative, line].join('\n')
}

function lastLine(text: string): string {
  return text.slice(text.lastIndexOf('\n') + 1)
}

function promptsOf(text: string): [prompt: string, negativePrompt: string] {
  const lines = text.split('\n').slice(0, -1)
  const start = lines.findIndex((line) => line.startsWith(NEGATIVE))
  if (start < 0) return [lines.join('\n'), '']
  return [lines.slice(0, start).join('\n'), lines.slice(start).join('\n').slice(NEGATIVE.length)]
}

/** As JSON wherever a reader would otherwise end the value too early, or take quotes for its own. */
function quote(value: string): string {
  return /[,:\n\r"]|^\s|\s$|^$/u.test(value) ? JSON.stringify(value) : value
}

const PAIR = /\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)/guy

function* readPairs(line: string): Generator<Pair> {
  for (const [, name, value] of line.matchAll(PAIR)) yield [name!, unquote(value!.trim())]
}

function unquote(value: string): string {
  if (!value.startsWith('"')) return value
  try {
    return String(JSON.parse(value))
  } catch {
    return value
  }
}

function sizeOf(value = ''): [number, number] {
  const match = /^(\d{1,5})x(\d{1,5})$/u.exec(value)
  if (!match) throw wrong('Size', value)
  return [Number(match[1]), Number(match[2])]
}

function numberOf(name: string, value = '', allowed?: readonly number[]): number {
  const number = value === '' ? Number.NaN : Number(value)
  if (!Number.isFinite(number) || (allowed && !allowed.includes(number))) throw wrong(name, value)
  return number
}

function booleanOf(name: string, value = 'false'): boolean {
  if (value !== 'true' && value !== 'false') throw wrong(name, value)
  return value === 'true'
}

function seedOf(name: string, value?: string): number {
  const seed = numberOf(name, value)
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw wrong(name, value)
  return seed
}

function variationsOf(pairs: ReadonlyMap<string, string>): Noise['variations'] {
  const [seeds, strengths] = ['Variation seed', 'Variation seed strength'].map(
    (name) => pairs.get(name)?.split(',') ?? [],
  ) as [string[], string[]]
  if (seeds.length !== strengths.length) throw wrong('Variation seed strength', strengths.join(','))
  return seeds.map((seed, index) => {
    const strength = numberOf('Variation seed strength', strengths[index]!.trim())
    if (strength < 0 || strength > 1) throw wrong('Variation seed strength', strengths[index])
    return { seed: seedOf('Variation seed', seed.trim()), strength }
  })
}

function wrong(name: string, value = ''): EngineError {
  const what = value === '' ? `lack ${name}` : `say ${name} “${value.slice(0, 40)}”`
  return new EngineError('argument', `The picture's parameters ${what}; choose a picture that Seedling made.`)
}

/** AUTOMATIC1111's names of diffusers' classes; a class that it has no name for keeps its own. */
const SAMPLERS: Readonly<Record<string, string>> = {
  DDIMScheduler: 'DDIM',
  DPMSolverMultistepScheduler: 'DPM++ 2M',
  EulerAncestralDiscreteScheduler: 'Euler a',
  EulerDiscreteScheduler: 'Euler',
  HeunDiscreteScheduler: 'Heun',
  KDPM2AncestralDiscreteScheduler: 'DPM2 a',
  KDPM2DiscreteScheduler: 'DPM2',
  LCMScheduler: 'LCM',
  LMSDiscreteScheduler: 'LMS',
  PNDMScheduler: 'PLMS',
  UniPCMultistepScheduler: 'UniPC',
}

function schedulerOf(sampler: string): string {
  return Object.keys(SAMPLERS).find((name) => SAMPLERS[name] === sampler) ?? sampler
}
