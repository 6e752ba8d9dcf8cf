/** Slack delivers an event again when it saw no acknowledgement, and so may whoever overheard one; each is let through once. */

import type { AnyMiddlewareArgs, Middleware } from '@slack/bolt'
import { type Delivery, SIGNATURE_MS } from './connection.ts'

/** As long as a signature can be good: from its time in the future to its time in the past. */
const REMEMBERED_MS = 2 * SIGNATURE_MS + 60_000

export function onceEach(): Middleware<AnyMiddlewareArgs, Delivery> {
  /** When each was seen, oldest first, by `performance.now()`. */
  const seen = new Map<string, number>()
  return async ({ context: { deliveryId }, next, ...args }) => {
    const now = performance.now()
    for (const [id, at] of seen) {
      if (now - at < REMEMBERED_MS) break
      seen.delete(id)
    }
    if (seen.has(deliveryId)) {
      if ('ack' in args) await args.ack?.()
      return
    }
    seen.set(deliveryId, now)
    try {
      await next()
    } catch (error) {
      seen.delete(deliveryId)
      throw error
    }
  }
}
