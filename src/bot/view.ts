/** The one view of a job: what is said, shown and offered; each platform draws it in its own way and adds nothing. */

import { type Action, formatActionId } from '../commands/actions.ts'
import { isFinished, type Job, type JobState, type Progress } from '../job/job.ts'
import { mayEnlarge, type Noise } from '../job/request.ts'

export interface View {
  readonly job: string
  readonly state: JobState
  readonly authorId: string
  readonly authorName: string
  /** What was asked for, as plain text: the platform escapes it. */
  readonly prompt: string
  readonly negativePrompt: string
  /** Where the job stands, in one line: `Queued · 3rd in line · about 20 s`. */
  readonly status: string
  /** How much is done, 0..1; absent where there is nothing to measure. */
  readonly fraction?: number
  /** What is coming, as a small PNG. */
  readonly preview?: Uint8Array
  /** The parameters, in the order to show them: `seed` `7`, `steps` `20` … */
  readonly parameters: readonly Parameter[]
  /** The command that makes the same pictures again, for copying; absent where no command can (variations, upscales). */
  readonly command?: string
  readonly pictures: readonly ViewPicture[]
  readonly actions: readonly ViewAction[]
}

export interface Parameter {
  readonly name: string
  readonly value: string
}

export interface ViewPicture {
  /** From 0; with the job's id, its place in the picture store. */
  readonly index: number
  /** A file name for it. */
  readonly name: string
  /** At most 1,000 characters. */
  readonly alt: string
  readonly width: number
  readonly height: number
}

export interface ViewAction {
  /** The button's `custom_id` or value. */
  readonly id: string
  readonly action: Action
  /** `V2`, `🔄`, `Cancel`. */
  readonly label: string
  /** The same in words, for tooltips and screen readers. */
  readonly description: string
}

/** A job as people see it. */
export function viewOf(job: Job, progress: Progress): View {
  const { request } = job
  return {
    job: job.id,
    state: job.state,
    authorId: job.author.id,
    authorName: job.author.name,
    prompt: request.prompt,
    negativePrompt: request.negativePrompt,
    status: statusOf(job, progress),
    ...fractionOf(job, progress),
    ...(job.state === 'running' && progress.preview && { preview: progress.preview }),
    parameters: parametersOf(job),
    ...(request.variations.length === 0 && request.upscale === 1 && { command: commandOf(job) }),
    pictures: job.pictures.map(({ index, width, height }) => ({
      index,
      name: `seedling-${job.id}-${index + 1}.png`,
      alt: altOf(job, index),
      width,
      height,
    })),
    actions: actionsOf(job),
  }
}

const PAUSED = 'paused on our side: nothing can be stored just now, and it goes on by itself'

/** As much of a job's progress as is worth an edit of its own. */
export interface Drawn {
  readonly state: JobState
  /** The place in line, coarser the farther away, or the quarter that is drawn; below 0 what holds it up. */
  readonly mark: number
}

const PLACES = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000]

export function drawnOf({ state }: Job, { position = 0, step = 0, steps = 0, opening, paused }: Progress): Drawn {
  if (paused) return { state, mark: -1 }
  if (opening !== undefined) return { state, mark: -2 }
  if (state !== 'queued') return { state, mark: steps ? Math.floor((4 * step) / steps) : 0 }
  return { state, mark: PLACES.find((place) => position <= place) ?? Number.POSITIVE_INFINITY }
}

export function withoutPreview({ preview: _, ...view }: View): View {
  return view
}

/** What may stand where a platform refuses a job's words or pictures: why, and the buttons that still help. */
export function withoutPictures(view: View, why: string): View {
  const { fraction: _fraction, preview: _preview, command: _command, ...rest } = view
  return {
    ...rest,
    prompt: '',
    negativePrompt: '',
    status: why,
    pictures: [],
    parameters: view.parameters.filter(({ name }) => name === 'job'),
    actions: view.actions.filter(({ action }) => action === 'delete'),
  }
}

const TITLES = { imagine: 'Imagine', reroll: 'Re-roll', vary: 'Variation', upscale: 'Upscale' } as const

function statusOf(job: Job, { position, etaSeconds, step, steps, opening, paused }: Progress): string {
  const eta = paused ? [PAUSED] : etaSeconds === undefined ? [] : [`about ${duration(etaSeconds)}`]
  switch (job.state) {
    case 'queued':
      return ['Queued', ...(position === undefined ? [] : [line(position)]), ...eta].join(' · ')
    case 'running':
      if (opening !== undefined) return [`Opening ${opening}…`, ...eta].join(' · ')
      return ['Drawing', ...(steps ? [`${Math.floor((100 * (step ?? 0)) / steps)} %`] : []), ...eta].join(' · ')
    case 'done':
      return `${TITLES[job.action]} · ${duration((job.drawnMs ?? job.finishedAt! - job.startedAt!) / 1000)}`
    case 'failed':
      return job.error ?? 'This went wrong; please try again.'
    case 'cancelled':
      return 'Cancelled'
  }
}

/** Costly to make. */
const ORDINALS = new Intl.PluralRules('en', { type: 'ordinal' })

function line(position: number): string {
  if (position === 1) return 'next in line'
  const suffix = ORDINALS.select(position)
  return `${position}${{ one: 'st', two: 'nd', few: 'rd', zero: 'th', many: 'th', other: 'th' }[suffix]} in line`
}

function duration(seconds: number): string {
  if (seconds < 10) return `${Math.max(0.1, seconds).toFixed(1)} s`
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}

function fractionOf(job: Job, { step, steps }: Progress): { fraction?: number } {
  if (job.state === 'queued') return { fraction: 0 }
  if (job.state === 'running') return { fraction: steps ? (step ?? 0) / steps : 0 }
  return {}
}

function parametersOf({ request, id }: Job): Parameter[] {
  const { width, height, upscale } = request
  return [
    { name: 'seed', value: noiseText(request) },
    { name: 'steps', value: String(request.numInferenceSteps) },
    { name: 'guidance', value: String(request.guidanceScale) },
    { name: 'size', value: `${width * upscale}x${height * upscale}` },
    { name: 'count', value: String(request.numImagesPerPrompt) },
    ...(request.transparent ? [{ name: 'transparent', value: 'true' }] : []),
    ...(request.clipSkip === undefined ? [] : [{ name: 'clip-skip', value: String(request.clipSkip) }]),
    ...(request.model === undefined ? [] : [{ name: 'model', value: request.model }]),
    { name: 'job', value: id },
  ]
}

/** `7`, or `7 → 12 (0.2)` for a picture 0.2 of the way towards the noise of seed 12. */
function noiseText({ seed, variations }: Noise): string {
  return [seed, ...variations.map((variation) => `${variation.seed} (${variation.strength})`)].join(' → ')
}

/** Reads back as the same request, on every platform. */
function commandOf({ request }: Job): string {
  const { prompt, negativePrompt, seed, numInferenceSteps, guidanceScale, width, height, numImagesPerPrompt } = request
  const flags = [
    ...(negativePrompt === '' ? [] : [`--no "${negativePrompt}"`]),
    `--seed ${seed}`,
    `--steps ${numInferenceSteps}`,
    `--guidance ${guidanceScale}`,
    `--size ${width}x${height}`,
    ...(numImagesPerPrompt === 1 ? [] : [`--count ${numImagesPerPrompt}`]),
    ...(request.transparent ? ['--transparent'] : []),
    ...(request.clipSkip === undefined ? [] : [`--clip-skip ${request.clipSkip}`]),
    ...(request.model === undefined ? [] : [`--model "${request.model}"`]),
  ]
  return `/imagine ${prompt} ${flags.join(' ')}`
}

function altOf({ request }: Job, index: number): string {
  const which = request.numImagesPerPrompt === 1 ? '' : ` (picture ${index + 1} of ${request.numImagesPerPrompt})`
  const text = [...request.prompt].slice(0, 900).join('')
  return `${text}${which}`
}

function actionsOf(job: Job): ViewAction[] {
  const action = (action: Action, index: number, label: string, description: string): ViewAction => ({
    id: formatActionId({ action, index, job: job.id }),
    action,
    label,
    description,
  })
  if (!isFinished(job)) return [action('cancel', 0, 'Cancel', 'Cancel')]
  const reroll = action('reroll', 0, '🔄', 'Draw again with a new seed')
  const remove = action('delete', 0, '🗑', 'Delete')
  const pictures = job.pictures.map(({ index }) => index)
  const larger = mayEnlarge(job.request) ? pictures : []
  return [
    reroll,
    ...pictures.map((index) => action('vary', index, `V${index + 1}`, `Vary picture ${index + 1}`)),
    ...larger.map((index) => action('upscale', index, `U${index + 1}`, `Enlarge picture ${index + 1}`)),
    remove,
  ]
}
