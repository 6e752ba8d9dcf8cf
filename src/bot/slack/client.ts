/** How Slack's Web API is called. */

import { type Logger, webApi } from '@slack/bolt'

export type ClientOptions = Pick<webApi.WebClientOptions, 'slackApiUrl' | 'logger' | 'timeout' | 'retryConfig'>

/** No call hangs for ever. A failed one is tried again for about fifteen seconds, and `Retry-After` is kept to. */
export function clientOptions(apiUrl: string, logger: Logger): ClientOptions {
  return { slackApiUrl: apiUrl, logger, timeout: 30_000, retryConfig: { retries: 4 } }
}

export interface Clients {
  readonly web: webApi.WebClient
  /** Slack counts calls by method: edits that must wait hold back nothing that somebody waits for. */
  readonly edits: webApi.WebClient
}

export function clientsOf(botToken: string, options: ClientOptions): Clients {
  return { web: new webApi.WebClient(botToken, options), edits: new webApi.WebClient(botToken, options) }
}
