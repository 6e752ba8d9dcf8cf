/** What people may ask for, on any platform: each command checks who asks and what for, and hands a job to the queue. */

import type { Model } from '../engine/process/engine.ts'
import { UserError } from '../job/errors.ts'
import { type Author, isFinished, type Job, type JobAction, newJobId, type Place } from '../job/job.ts'
import { type Request, randomSeed, singlePicture } from '../job/request.ts'
import type { JobQueue } from '../queue/queue.ts'
import type { ActionId } from './actions.ts'
import { parseInline } from './inline.ts'
import { hasChoice, imagineOptions, type Option, type OptionValues } from './options.ts'
import { parseRequest } from './request.ts'

/** Who asks, and where the answer goes. */
export interface Context {
  readonly author: Author
  readonly place: Place
  /** The id for a new job, where the event that asks for it may be delivered again (`jobIdOf`); any other unless set. */
  readonly newId?: string
}

export interface CommandSettings {
  /** How far a variation's noise lies from its parent's, 0..1. */
  readonly variationStrength: number
  /** The longest side that may be asked for, in pixels. */
  readonly maxSize: number
}

const MAX_UPSCALE = 4

export class Commands {
  /** The options of `/imagine` to offer, for the model that runs. */
  readonly options: readonly Option[]
  readonly #understood: readonly Option[]
  readonly #queue: JobQueue
  readonly #model: Model
  readonly #settings: CommandSettings

  constructor(queue: JobQueue, model: Model, settings: CommandSettings) {
    this.#queue = queue
    this.#model = model
    this.#settings = settings
    this.#understood = imagineOptions(model, settings.maxSize)
    this.options = this.#understood.filter(hasChoice)
  }

  /** What a typed line asks for, its flags read. @throws UserError `option` for a flag that cannot be read */
  parse(text: string): OptionValues {
    return parseInline(text, this.#understood)
  }

  /** Says at once what is wrong with the values, for forms; nothing is queued. @throws UserError `option` */
  check(values: OptionValues): void {
    parseRequest(values, this.#model, this.#settings.maxSize)
  }

  /** A new picture. @throws UserError `option`, `limit` */
  async imagine(values: OptionValues, context: Context): Promise<Job> {
    const request = parseRequest(values, this.#model, this.#settings.maxSize)
    return this.#add('imagine', request, context)
  }

  /**
   * What a button under a job asks for. Re-roll, vary and upscale make a new job of whoever clicked; cancel and delete
   * change the job itself and are its author's alone; show brings it as it stands.
   * @throws UserError `gone`, `forbidden`, `limit`, `option`
   */
  async act({ action, index, job: id }: ActionId, context: Context): Promise<Job> {
    const job = await this.find(id)
    switch (action) {
      case 'reroll':
        return this.#add('reroll', { ...job.request, seed: randomSeed(), variations: [], upscale: 1 }, context, job)
      case 'vary':
        return this.#add('vary', this.#varied(job, index), context, job, index)
      case 'upscale':
        return this.#add('upscale', enlarged(job, index), context, job, index)
      case 'cancel':
        requireAuthor(job, context, 'cancel')
        if (isFinished(job)) throw new UserError('gone', 'It is finished already; there is nothing left to cancel.')
        return this.#queue.cancel(id)
      case 'delete':
        requireAuthor(job, context, 'delete')
        return this.#queue.delete(id)
      case 'show':
        return this.show(id, context)
    }
  }

  /** The job, for whoever may see it: its author, and everybody in the guild where it was drawn. @throws UserError `gone` */
  async show(id: string, { author, place }: Context): Promise<Job> {
    const job = await this.find(id)
    const isPresent = job.place.guild === place.guild || job.author.id === author.id
    if (job.place.platform === place.platform && isPresent) return job
    throw new UserError('gone', 'That job was drawn elsewhere; ask for it there.')
  }

  /** The job as it stands. @throws UserError `gone` */
  async find(id: string): Promise<Job> {
    const job = await this.#queue.get(id)
    if (!job || job.deletedAt) throw new UserError('gone', 'That job is no longer there; use /imagine to draw again.')
    return job
  }

  #varied(job: Job, index: number): Request {
    const picture = pictureRequest(job, index)
    const variation = { seed: randomSeed(), strength: this.#settings.variationStrength }
    return {
      ...picture,
      variations: [...picture.variations, variation],
      numImagesPerPrompt: job.request.numImagesPerPrompt,
      upscale: 1,
    }
  }

  #add(action: JobAction, request: Request, context: Context, parent?: Job, index = 0): Promise<Job> {
    return this.#queue.add({
      id: context.newId ?? newJobId(),
      state: 'queued',
      action,
      request,
      author: context.author,
      place: context.place,
      ...(parent && { parent: { job: parent.id, index } }),
      createdAt: Date.now(),
      attempts: 0,
      pictures: [],
    })
  }
}

function enlarged(job: Job, index: number): Request {
  const picture = pictureRequest(job, index)
  if (picture.upscale >= MAX_UPSCALE) {
    throw new UserError(
      'option',
      `upscale is ${picture.upscale}; a picture can be enlarged ${MAX_UPSCALE} times at most.`,
    )
  }
  return { ...picture, upscale: picture.upscale * 2 }
}

function pictureRequest(job: Job, index: number): Request {
  const count = job.request.numImagesPerPrompt
  if (index >= count) throw new UserError('option', `picture is ${index + 1}; this job has ${count}.`)
  return singlePicture(job.request, index)
}

/** Ids are only unique within a platform, so both must agree. */
function requireAuthor(job: Job, { author, place }: Context, verb: string): void {
  if (job.author.id !== author.id || job.place.platform !== place.platform) {
    throw new UserError('forbidden', `Only ${job.author.name} can ${verb} this.`)
  }
}
