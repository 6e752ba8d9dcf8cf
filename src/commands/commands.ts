/** What people may ask for, on any platform: each command checks who asks and what for, and hands a job to the queue. */

import type { Engine } from '../engine/process/engine.ts'
import { JOB_GONE, UserError } from '../job/errors.ts'
import { isFinished, type Job, type JobAction, newJobId } from '../job/job.ts'
import { MAX_UPSCALE, mayEnlarge, type Request, randomSeed, singlePicture } from '../job/request.ts'
import type { JobQueue } from '../queue/queue.ts'
import { type Context, isAuthor, maySee } from './access.ts'
import type { ActionId } from './actions.ts'
import { readChatText } from './chat-text.ts'
import { parseInline } from './inline.ts'
import { modelNamed, promptWithLoras } from './networks.ts'
import { hasChoice, imagineOptions, type Option, type OptionValues } from './options.ts'
import { maxSizeOf, parseRequest } from './request.ts'

export type { Context }

export interface CommandSettings {
  /** How far a variation's noise lies from its parent's, 0..1. */
  readonly variationStrength: number
  /** The longest side that may be asked for, in pixels; twice the model's own unless set. */
  readonly maxSize?: number | undefined
}

export class Commands {
  readonly #queue: JobQueue
  readonly #engine: Pick<Engine, 'model' | 'catalog'>
  readonly #settings: CommandSettings

  constructor(queue: JobQueue, engine: Pick<Engine, 'model' | 'catalog'>, settings: CommandSettings) {
    this.#queue = queue
    this.#engine = engine
    this.#settings = settings
  }

  /** The options of `/imagine` to offer, with the models that there are now. */
  get options(): readonly Option[] {
    return this.#understood.filter(hasChoice)
  }

  get #understood(): readonly Option[] {
    const { model, catalog } = this.#engine
    return imagineOptions(model, maxSizeOf(this.#settings.maxSize, model), undefined, catalog)
  }

  /** What a typed line asks for, its flags read. @throws UserError `option` for a flag that cannot be read */
  parse(text: string): OptionValues {
    return parseInline(text, this.#understood)
  }

  /** Says at once what is wrong with the values, for forms; nothing is queued. @throws UserError `option` */
  check(values: OptionValues): void {
    this.#request(values)
  }

  /** A new picture. @throws UserError `option`, `limit` */
  async imagine(values: OptionValues, context: Context): Promise<Job> {
    return this.#add('imagine', this.#request(values), context)
  }

  /**
   * What a button under a job asks for, of whoever may see the job. Re-roll, vary and upscale make a new job of whoever
   * clicked; cancel and delete change the job itself and are its author's alone; show brings it as it stands.
   * @throws UserError `gone`, `forbidden`, `limit`, `option`
   */
  async act({ action, index, job: id }: ActionId, context: Context): Promise<Job> {
    const job = await this.show(id, context)
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
        return job
    }
  }

  /** The job as it stands, for whoever may see it. @throws UserError `gone` */
  async show(id: string, context: Context): Promise<Job> {
    const job = await this.#queue.get(id)
    if (!job || job.deletedAt) throw new UserError('gone', JOB_GONE)
    if (maySee(job, context)) return job
    throw new UserError('gone', 'That job was drawn elsewhere; ask for it there.')
  }

  #request(values: OptionValues): Request {
    const { catalog } = this.#engine
    const model = modelNamed(values.model, catalog)
    const { prompt, ...others } = readChatText(values)
    const named = { ...others, prompt: promptWithLoras(String(prompt ?? ''), values.lora, catalog) }
    const request = parseRequest(named, model, maxSizeOf(this.#settings.maxSize, model))
    return catalog.models.length > 1 ? { ...request, model: model.name } : request
  }

  /** What an older job was drawn with may be gone by now. */
  #requireModel({ model }: Request): void {
    const { models } = this.#engine.catalog
    if (model === undefined || models.some(({ name }) => name === model)) return
    throw new UserError(
      'gone',
      `It was drawn with the model ${model}, which is not here any more; use /imagine with another.`,
    )
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

  async #add(action: JobAction, request: Request, context: Context, parent?: Job, index = 0): Promise<Job> {
    this.#requireModel(request)
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
  if (!mayEnlarge(picture)) {
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

function requireAuthor(job: Job, context: Context, verb: string): void {
  if (!isAuthor(job, context)) throw new UserError('forbidden', `Only ${job.author.name} can ${verb} this.`)
}
