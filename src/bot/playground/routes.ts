/** The playground's web interface: what the page may ask, each answered by the commands that every platform shares. */

import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { type Action, parseActionId } from '../../commands/actions.ts'
import { requireJobName, requireJobOf } from '../../commands/words.ts'
import { UserError, type UserErrorCode } from '../../job/errors.ts'
import type { Author, Job } from '../../job/job.ts'
import { type Rooms, sentenceOf } from '../rooms.ts'
import { type Failure, type Message, messageOf, type Session } from './message.ts'
import type { Stream, Streams } from './streams.ts'
import { askerOf, visitorOf, welcome } from './visitor.ts'

/** How many jobs a page may follow; it remembers no more. */
const MAX_FOLLOWED = 100
/** The others change a job that the page shows already. */
const MAKES_A_JOB: ReadonlySet<Action> = new Set(['reroll', 'vary', 'upscale'])
const JOB_ID = /^[0-9a-f]{16}$/

const STATUS = { option: 400, limit: 429, gone: 404, forbidden: 403, unavailable: 503 } as const satisfies Record<
  UserErrorCode,
  number
>

export interface Surface {
  readonly rooms: Rooms
  readonly streams: Streams
  readonly model: string
  /** Where a request comes from, as limits count it, and whether it came by https. */
  origin(c: Context): { readonly address: string; readonly secure: boolean }
  /** Makes a job for an address. @throws UserError `limit`, or what `make` throws */
  add(address: string, make: () => Promise<Job>): Promise<Job>
  /** Shows a new job in the visitor's pages. */
  present(job: Job): Promise<void>
  /** A page listens, and knows these jobs. */
  connected(stream: Stream): Promise<void>
}

type Variables = { Variables: { visitor: Author } }

export function routes(surface: Surface): Hono<Variables> {
  const { rooms, streams, model, origin, add, present, connected } = surface
  const { commands, queue, pictures, log } = rooms
  const app = new Hono<Variables>()
  const seenBy = (job: Job, { id }: Author): Message => messageOf(job, queue.progress(job.id), id)

  app.onError((error, c) => {
    const failure: Failure = { error: sentenceOf(error, log) }
    return c.json(failure, error instanceof UserError ? STATUS[error.code] : 500)
  })
  app.notFound((c) => c.json<Failure>({ error: 'There is nothing here; the playground is at /.' }, 404))

  // A cookie is given here and not with the page: a link from elsewhere opens the page without its SameSite cookie, and
  // a new one would then take the place of the visitor's own.
  app.post('/api/session', (c) => {
    const { name } = welcome(c, origin(c).secure)
    return c.json<Session>({ name, model, options: commands.options })
  })

  for (const path of ['/api/*', '/pictures/*']) {
    app.use(path, async (c, next) => {
      const visitor = visitorOf(c)
      if (!visitor)
        return c.json<Failure>({ error: 'Your browser sent no cookie; allow cookies here and reload.' }, 401)
      c.set('visitor', visitor)
      return next()
    })
  }

  app.get('/pictures/:job{[0-9a-f]{16}}/:file{[0-9]\\.png}', async (c) => {
    const { job, file } = c.req.param()
    await commands.show(job, askerOf(c.get('visitor')))
    const index = Number.parseInt(file, 10)
    const png = await pictures.read(job, index)
    if (!png) return c.json<Failure>({ error: 'This picture is no longer kept.' }, 404)
    return c.body(new Uint8Array(png), 200, {
      'content-type': 'image/png',
      'cache-control': 'private, max-age=31536000, immutable',
      'content-disposition': `inline; filename="seedling-${job}-${index + 1}.png"`,
    })
  })

  app.get('/api/jobs/:job', async (c) => {
    const visitor = c.get('visitor')
    const name = requireJobName(c.req.param('job'))
    // Another chat's messages are none of the page's.
    const job = await commands.show(requireJobOf('id' in name ? name.id : undefined), askerOf(visitor))
    return c.json(seenBy(job, visitor))
  })

  app.post('/api/imagine', async (c) => {
    const { text } = await bodyOf(c.req, z.object({ text: z.string() }))
    const asker = askerOf(c.get('visitor'))
    const job = await add(origin(c).address, () => commands.imagine(commands.parse(text), asker))
    await present(job)
    return c.json(seenBy(job, c.get('visitor')), 201)
  })

  app.post('/api/act', async (c) => {
    const { id } = await bodyOf(c.req, z.object({ id: z.string() }))
    const action = parseActionId(id)
    if (!action) throw unreadable()
    const act = () => commands.act(action, askerOf(c.get('visitor')))
    if (!MAKES_A_JOB.has(action.action)) {
      await act()
      return c.body(null, 204)
    }
    const job = await add(origin(c).address, act)
    await present(job)
    return c.json(seenBy(job, c.get('visitor')), 201)
  })

  app.get('/api/events', async (c) => {
    // A HEAD comes here too; nobody would ever read or end its stream.
    if (c.req.method !== 'GET') return c.body(null, 405)
    const jobs = (c.req.query('jobs') ?? '')
      .split(',')
      .filter((id) => JOB_ID.test(id))
      .slice(0, MAX_FOLLOWED)
    const stream = streams.connect({ visitor: c.get('visitor'), address: origin(c).address, jobs })
    connected(stream).catch((error) => {
      sentenceOf(error, log)
      stream.end()
    })
    return c.body(stream.body, 200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // The proxy nginx would hold it back, and a socket kept for later would hold up the server's end.
      'x-accel-buffering': 'no',
      connection: 'close',
    })
  })

  return app
}

async function bodyOf<Body>(request: { json(): Promise<unknown> }, schema: z.ZodType<Body>): Promise<Body> {
  const body = schema.safeParse(await request.json().catch(() => undefined))
  if (!body.success) throw unreadable()
  return body.data
}

function unreadable(): UserError {
  return new UserError('option', 'The playground could not read this; reload the page and try again.')
}
