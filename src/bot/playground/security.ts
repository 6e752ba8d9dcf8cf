/** What every request must pass: this page runs in people's browsers, beside pages that mean them harm. */

import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { createMiddleware } from 'hono/factory'
import { secureHeaders } from 'hono/secure-headers'
import { isLoopback } from './address.ts'
import type { Failure } from './message.ts'

/** Far above the longest prompt, which gets a sentence of its own. */
const MAX_BODY_BYTES = 64 * 1024

/** No markup of ours is inline and none comes from elsewhere; previews are `data:` pictures. */
export const headers: MiddlewareHandler = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'", 'data:'],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
    requireTrustedTypesFor: ["'script'"],
    trustedTypes: ["'none'"],
  },
  referrerPolicy: 'no-referrer',
  xFrameOptions: 'DENY',
  // Whether this host speaks only TLS is for the proxy in front to say.
  strictTransportSecurity: false,
})

/**
 * A server for this machine alone answers to this machine's names alone: a name that somebody else rebinds to 127.0.0.1
 * would make their page ours.
 */
export const knownHost: MiddlewareHandler = createMiddleware(async (c, next) => {
  if (isLoopback(hostnameOf(c.req.header('host')))) return next()
  const error = 'This address is not served here; open http://localhost, or set HOST=0.0.0.0 to serve other names.'
  return c.json<Failure>({ error }, 403)
})

/** Only the page itself may change something: another site's form or script carries its own Origin. */
export const fromThePage: MiddlewareHandler = createMiddleware(async (c, next) => {
  const origin = c.req.header('origin')
  if (!URL.canParse(origin ?? '') || new URL(origin!).host !== c.req.header('host')?.toLowerCase()) {
    return c.json<Failure>({ error: 'This was not sent by the playground; reload its page and try again.' }, 403)
  }
  return next()
})

/** What a form on another site cannot send. */
export const asJson: MiddlewareHandler = createMiddleware(async (c, next) => {
  if (!/^application\/json(;|$)/iu.test(c.req.header('content-type') ?? '')) {
    return c.json<Failure>({ error: 'This is no JSON; reload the page and try again.' }, 415)
  }
  return next()
})

export const smallBody: MiddlewareHandler = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => c.json<Failure>({ error: 'That is far too long; say it in fewer words.' }, 413),
})

function hostnameOf(host: string | undefined): string | undefined {
  const url = `http://${host}`
  return URL.canParse(url) ? new URL(url).hostname : undefined
}
