/** What travels to the page: a job's view as JSON, as one visitor may see it. */

import type { Option } from '../../commands/options.ts'
import type { Job, Progress } from '../../job/job.ts'
import { type View, type ViewPicture, viewOf } from '../view.ts'

export interface Message extends Omit<View, 'authorId' | 'preview' | 'pictures'> {
  /** The visitor who asks is the author. */
  readonly mine: boolean
  /** When the job was made, in milliseconds since the epoch. */
  readonly time: number
  /** What was typed or pressed: `/imagine`, `🔄`, `V2`, `U1`. */
  readonly asked: string
  /** The job whose button it was. */
  readonly parent?: string
  /** What is being drawn, so that its room can be kept: pictures, and the sides of one in pixels. */
  readonly count: number
  readonly width: number
  readonly height: number
  /** What is coming, all pictures in ⌈√count⌉ columns, as a `data:` address. */
  readonly preview?: string
  readonly pictures: readonly MessagePicture[]
}

export interface MessagePicture extends ViewPicture {
  readonly url: string
}

/** What the page must know before it can draw. */
export interface Session {
  /** The visitor's name. */
  readonly name: string
  readonly model: string
  /** Of `/imagine`. */
  readonly options: readonly Option[]
}

/** The body of every answer that is no success: one sentence for the person. */
export interface Failure {
  readonly error: string
}

/** What the event stream carries: an event's name and its data. */
export interface Events {
  job: Message
  removed: { readonly job: string }
}

/** Others see neither the author's id nor the buttons that are the author's alone. */
export function messageOf(job: Job, progress: Progress, visitor: string): Message {
  return messageOfView(job, viewOf(job, progress), visitor)
}

export function messageOfView(job: Job, view: View, visitor: string): Message {
  const { authorId, preview, pictures, actions, ...rest } = view
  const { request } = job
  const mine = authorId === visitor
  return {
    ...rest,
    mine,
    time: job.createdAt,
    asked: askedOf(job),
    ...(job.parent && { parent: job.parent.job }),
    count: request.numImagesPerPrompt,
    width: request.width * request.upscale,
    height: request.height * request.upscale,
    ...(preview && { preview: `data:image/png;base64,${Buffer.from(preview).toString('base64')}` }),
    pictures: pictures.map((picture) => ({ ...picture, url: `/pictures/${job.id}/${picture.index}.png` })),
    actions: actions.filter(({ action }) => mine || (action !== 'cancel' && action !== 'delete')),
  }
}

function askedOf({ action, parent }: Job): string {
  const picture = (parent?.index ?? 0) + 1
  return { imagine: '/imagine', reroll: '🔄', vary: `V${picture}`, upscale: `U${picture}` }[action]
}
