/** Who is let in: on this machine everybody, and where others can reach the page, whoever logs in and asks with measure. */

import type { Context, Handler, Hono } from 'hono'
import { z } from 'zod'
import { addressOf, isLoopback, isSecure } from './address.ts'
import { fewAsks } from './limits.ts'
import { Login } from './login.ts'
import type { Failure } from './message.ts'
import { asJson, fromThePage, headers, knownHost, smallBody } from './security.ts'

export interface DoorOptions {
  /** The address that is listened on. */
  readonly host: string
  /** Asked for at the login; without one there is a link with a token. */
  readonly password?: string | undefined
  /** A reverse proxy stands in front and tells whom it speaks for. */
  readonly trustsProxy?: boolean | undefined
  /** Where the link's token is kept; a new one at each start unless set. */
  readonly dataDir?: string | undefined
}

/** Whether others than this machine's own users can reach the page. */
export function isOpened({ host, password, trustsProxy }: DoorOptions): boolean {
  return !isLoopback(host) || password !== undefined || trustsProxy === true
}

/**
 * Sets up what every request must pass before the page's own routes.
 * @param page the page's files by path, with the login's form among them
 * @returns the login, where one is needed
 */
export async function openDoor(
  app: Hono,
  options: DoorOptions,
  page: ReadonlyMap<string, Handler>,
): Promise<Login | undefined> {
  app.use(headers)
  if (!isOpened(options)) app.use(knownHost)
  app.on('POST', '*', fromThePage, asJson, smallBody)
  if (!isOpened(options)) return undefined
  const { password, dataDir, trustsProxy = false } = options
  const login = await Login.open({ password, dataDir })
  app.on(
    'POST',
    '*',
    fewAsks((c) => addressOf(c, trustsProxy)),
  )
  const enter = (c: Context, secret: string) =>
    login.enter(c, secret, addressOf(c, trustsProxy), isSecure(c, trustsProxy))
  app.get('/login', async (c) => {
    const failure = await enter(c, c.req.query('token') ?? '')
    return failure ? c.text(failure.error, 401) : c.redirect('/', 303)
  })
  app.post('/api/login', async (c) => {
    const body = z.object({ password: z.string() }).safeParse(await c.req.json().catch(() => undefined))
    const failure = await enter(c, body.data?.password ?? '')
    return failure ? c.json<Failure>(failure, 401) : c.body(null, 204)
  })
  app.use(login.guard((path) => path !== '/' && page.has(path), page.get('/login.html')!))
  return login
}
