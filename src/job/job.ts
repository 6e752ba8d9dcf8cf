/** A job is a record: a request with its state, its author and the place where it is shown. It is plain JSON. */

import { createHash, randomBytes } from 'node:crypto'
import type { Picture } from './picture.ts'
import type { Request } from './request.ts'

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled'

/** What made the job: the command itself, or a button under an earlier one's pictures. */
export type JobAction = 'imagine' | 'reroll' | 'vary' | 'upscale'

/** How long a reply can be used. https://discord.com/developers/docs/interactions/receiving-and-responding */
export const REPLY_MS = 15 * 60_000

/** A member, as the platform knows them. Ids are strings, always. */
export interface Author {
  readonly id: string
  readonly name: string
}

export interface Reply {
  readonly route: string
  /** When that way ends, in milliseconds since the epoch. */
  readonly until: number
}

/** Where the answer is shown. Ids are the platform's own. */
export interface Place {
  /** The platform's name: `discord`, `slack`, `playground`. */
  readonly platform: string
  /** What limits are counted by: the guild, the workspace, the playground visitor; `dm:USER` for a direct message. */
  readonly guild: string
  readonly channel: string
  /** The message that shows the job, once it is posted. */
  readonly message?: string
  /** Until the job is answered: how the platform finds what it may have answered already, and a way to it; a secret. */
  readonly reply?: Reply
  /** The bot itself is no member there, so that interactions are its only way. */
  readonly botIsAbsent?: true
}

export interface Job {
  readonly id: string
  readonly state: JobState
  readonly action: JobAction
  readonly request: Request
  readonly author: Author
  readonly place: Place
  /** The picture that a re-roll, a variation or an upscale started from; `index` counts from 0. */
  readonly parent?: { readonly job: string; readonly index: number }
  /** Milliseconds since the epoch, as all times here. */
  readonly createdAt: number
  readonly startedAt?: number
  readonly finishedAt?: number
  /** How long the engine took at its last try, in milliseconds: what the program stood still or waited for is not in it. */
  readonly drawnMs?: number
  /** How often the engine was given this job, less the times that an orderly stop interrupted it. */
  readonly attempts: number
  /** One an image, in order; empty until the job is done, and after its pictures expired or were deleted. */
  readonly pictures: readonly Picture[]
  /** What drew them, by name and by the first ten hex digits of a SHA-256 over its weights. */
  readonly model?: { readonly name: string; readonly hash: string }
  /** Why it failed, in a sentence for its author. */
  readonly error?: string
  /** When its last view reached its place; until then a restart draws it again. */
  readonly answeredAt?: number
  /** When its author deleted it. */
  readonly deletedAt?: number
}

/** What is known of a job between two states; never stored. */
export interface Progress {
  /** The model that is being opened for it. */
  readonly opening?: string
  /** Place in line while queued, 1 = next. */
  readonly position?: number
  /** Denoising steps done, of `steps` in all, while running. */
  readonly step?: number
  readonly steps?: number
  /** Seconds until the result, by measured step times; absent while nothing was measured yet. */
  readonly etaSeconds?: number
  /** A small picture of what is coming, as a PNG. */
  readonly preview?: Uint8Array
  /** Nothing can be stored just now, so nothing goes on until it can. */
  readonly paused?: boolean
}

export function isFinished(job: Job): boolean {
  return job.state === 'done' || job.state === 'failed' || job.state === 'cancelled'
}

/** Sixteen hex digits: short enough for a button's `custom_id`, unlikely enough never to meet another. */
export function newJobId(): string {
  return randomBytes(8).toString('hex')
}

/** The id of the job that an event asked for: the same each time that it is delivered, also after a restart. */
export function jobIdOf(platform: string, event: string): string {
  return createHash('sha256').update(`${platform} ${event}`).digest('hex').slice(0, 16)
}
