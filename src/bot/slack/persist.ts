/** Reaching Slack at the start: an outage is waited out aloud, a refusal is final and says which setting is wrong. */

import { setTimeout as delay } from 'node:timers/promises'
import { webApi } from '@slack/bolt'
import type { Log } from '../platform.ts'
import { codeOf, passes } from './errors.ts'
import { withoutSecrets } from './logger.ts'

const MAX_PAUSE_MS = 30_000

/**
 * Calls until Slack answers.
 * @throws Error with one sentence when Slack refuses; `advice` ends it
 */
export async function persist<T>(
  call: () => Promise<T>,
  { advice, log, signal }: { advice: string; log: Log; signal: AbortSignal },
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call()
    } catch (error) {
      const code = codeOf(error)
      if (code && !passes(code)) throw new Error(`Slack refused (${code}); ${advice}`)
      const pause = Math.min(1000 * 2 ** attempt, MAX_PAUSE_MS)
      log(`slack: cannot be reached (${reasonOf(error)}); trying again in ${pause / 1000} s`)
      await delay(pause, undefined, { signal })
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof webApi.WebAPIRequestError) return messageOf(error.original.cause ?? error.original)
  return error === undefined ? 'the connection was closed' : messageOf(error)
}

/** Node reports a refused connection as an error without a message, but with a code. */
function messageOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return withoutSecrets(code ?? message)
}
