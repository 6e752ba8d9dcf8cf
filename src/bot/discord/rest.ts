/** Discord's REST client, and what its answers say beside their content: how much may be asked, and that a token is no more. */

import { DefaultRestOptions, REST, RESTEvents, RESTJSONErrorCodes, type ResponseLike } from 'discord.js'
import type { Budget } from '../budget.ts'
import type { Failure } from '../failure.ts'
import { WRONG_TOKEN } from './errors.ts'

export interface RestOptions {
  readonly token: string
  /** Such as `https://discord.com/api`. */
  readonly apiUrl: string
  /** Told what the rate limits' headers say. */
  readonly budget: Budget
  /** Told when Discord takes the token no longer. */
  readonly failure: Failure
}

const CHANNEL = /^\/channels\/(\d+)\/messages/

export function createRest({ token, apiUrl, budget, failure }: RestOptions): REST {
  const rest = new REST({ api: apiUrl.replace(/\/+$/, ''), makeRequest: withFinalAnswers }).setToken(token)
  rest.on(RESTEvents.Response, ({ path, data }, { status, headers }) => {
    if (status === 401 && data.auth !== false) failure.tell(WRONG_TOKEN)
    const channel = CHANNEL.exec(path)?.[1]
    const ms = (name: string) => 1000 * Number(headers.get(name) ?? 0)
    if (status === 429) {
      const isForAll = headers.get('x-ratelimit-scope') === 'global' || headers.has('x-ratelimit-global')
      budget.hold(ms('retry-after'), isForAll ? undefined : channel)
    } else if (channel && Number(headers.get('x-ratelimit-remaining') ?? 2) <= 1) {
      // The last one of a bucket is an answer's.
      budget.hold(ms('x-ratelimit-reset-after'), channel)
    }
  })
  return rest
}

/** That an old message takes no more edits comes as 429, but no pause helps: the client must not wait for one. */
async function withFinalAnswers(...request: Parameters<typeof DefaultRestOptions.makeRequest>): Promise<ResponseLike> {
  const response = await DefaultRestOptions.makeRequest(...request)
  if (response.status !== 429) return response
  const body = await response.text()
  const { code } = parsed(body)
  const isFinal = code === RESTJSONErrorCodes.MaximumNumberOfEditsToMessagesOlderThanOneHourReached
  const { headers, statusText } = response
  return new Response(body, { status: isFinal ? 400 : 429, statusText, headers: [...headers] as [string, string][] })
}

function parsed(body: string): { code?: unknown } {
  try {
    return Object(JSON.parse(body))
  } catch {
    return {}
  }
}
