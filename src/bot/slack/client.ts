/** How Slack's Web API is called. */

import { type Logger, webApi } from '@slack/bolt'

export type ClientOptions = Pick<
  webApi.WebClientOptions,
  'slackApiUrl' | 'logger' | 'timeout' | 'fetch' | 'retryConfig' | 'rejectRateLimitedCalls'
>

const TIMEOUT_MS = 30_000
const RESPONSE_URL_TIMEOUT_MS = 5000

/** No call hangs for ever. A failed one is tried again for about fifteen seconds, and `Retry-After` is kept to. */
export function clientOptions(apiUrl: string, logger: Logger): ClientOptions {
  return {
    slackApiUrl: apiUrl,
    logger,
    timeout: TIMEOUT_MS,
    // Bolt calls response URLs with it too, and gives those no time-out of their own.
    fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(RESPONSE_URL_TIMEOUT_MS), ...init }),
    retryConfig: { retries: 4 },
  }
}

/** Slack counts calls by method, and a client that waits out one method's limit holds back all its calls; hence several. */
export interface Clients {
  readonly web: webApi.WebClient
  /** For new messages: none is sent again blindly, since the first may stand though its answer was lost. */
  readonly posts: webApi.WebClient
  /** For looking back; past the limit it fails with a `WebAPIRateLimitedError`. */
  readonly history: webApi.WebClient
  /** For the edits that bring an answer; they wait as long as Slack asks. */
  readonly edits: webApi.WebClient
  /** For the edits that only show progress; past the limit they fail with a `WebAPIRateLimitedError`. */
  readonly progress: webApi.WebClient
}

export function clientsOf(botToken: string, options: ClientOptions): Clients {
  return {
    web: new webApi.WebClient(botToken, options),
    posts: new webApi.WebClient(botToken, { ...options, retryConfig: { retries: 0 } }),
    history: new webApi.WebClient(botToken, { ...options, rejectRateLimitedCalls: true, retryConfig: { retries: 0 } }),
    edits: new webApi.WebClient(botToken, options),
    progress: new webApi.WebClient(botToken, { ...options, rejectRateLimitedCalls: true }),
  }
}
