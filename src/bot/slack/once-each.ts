/** Slack delivers an event again when it saw no acknowledgement; this lets each through once. */

import type { AnyMiddlewareArgs, Middleware } from '@slack/bolt'
import type { Delivery } from './connection.ts'

/** Further attempts come within minutes. */
const REMEMBERED = 1000

export function onceEach(): Middleware<AnyMiddlewareArgs, Delivery> {
  const seen = new Set<string>()
  return async ({ context: { deliveryId, mayRepeat }, next, ...args }) => {
    if (mayRepeat && seen.has(deliveryId)) {
      if ('ack' in args) await args.ack?.()
      return
    }
    seen.add(deliveryId)
    for (const oldest of seen) {
      if (seen.size <= REMEMBERED) break
      seen.delete(oldest)
    }
    try {
      await next()
    } catch (error) {
      seen.delete(deliveryId)
      throw error
    }
  }
}
