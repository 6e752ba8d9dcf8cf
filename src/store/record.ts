/** Which stored texts are jobs: whatever lies in a database may have been cut short, edited by hand, or be another program's. */

import { z } from 'zod'
import { type Job, REPLY_MS } from '../job/job.ts'

const text = z.string()
const noise = { seed: z.number(), variations: z.array(z.object({ seed: z.number(), strength: z.number() })) }
const picture = z.looseObject({ ...noise, index: z.number(), width: z.number(), height: z.number() })

/** As much as nothing can be done without. */
const job = z.looseObject({
  id: text,
  state: z.enum(['queued', 'running', 'done', 'failed', 'cancelled']),
  action: z.enum(['imagine', 'reroll', 'vary', 'upscale']),
  request: z.looseObject({
    ...noise,
    model: text.optional(),
    prompt: text,
    negativePrompt: text,
    numInferenceSteps: z.number(),
    guidanceScale: z.number(),
    width: z.number(),
    height: z.number(),
    numImagesPerPrompt: z.number(),
    upscale: z.number(),
  }),
  author: z.looseObject({ id: text, name: text }),
  place: z.looseObject({
    platform: text,
    guild: text,
    channel: text,
    message: text.optional(),
    reply: z.union([text, z.looseObject({ route: text, until: z.number() })]).optional(),
  }),
  createdAt: z.number(),
  attempts: z.number(),
  pictures: z.array(picture),
})

/** In place of a value that is no JSON. */
export const UNREADABLE = Symbol('unreadable')

/** Why what is stored under `id` is no job; undefined when it is one. */
export function faultOf(id: string, value: unknown): string | undefined {
  if (value === UNREADABLE) return 'it is not JSON'
  const { error, data } = job.safeParse(value)
  if (error) return `its ${error.issues[0]!.path.join('.') || 'record'} is wrong`
  return data.id === id ? undefined : 'it is another job’s'
}

/** A job as it is written today; up to 0.1.0 `place.reply` was the route alone. */
export function upToDate(job: Job): Job {
  const route: unknown = job.place.reply
  if (typeof route !== 'string') return job
  return { ...job, place: { ...job.place, reply: { route, until: job.createdAt + REPLY_MS } } }
}
