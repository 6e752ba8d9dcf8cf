/** Who the bot is in its workspace, asked once at the start; a wrong token or a missing scope shows here. */

import { webApi } from '@slack/bolt'
import type { Log } from '../platform.ts'
import type { ClientOptions } from './client.ts'
import { silentLogger } from './logger.ts'
import { persist } from './persist.ts'

export interface Identity {
  /** The workspace's id. */
  readonly team: string
  readonly botId: string
  readonly botUserId: string
  /** What members invite: `/invite @name`. */
  readonly name: string
}

const NEEDED = ['chat:write', 'commands', 'files:read', 'files:write']
/** With one for each kind of channel, a message is found again whose answer was lost. */
const FOR_LOOKING_BACK = ['channels:history', 'groups:history', 'im:history', 'mpim:history']

/** As the app's manifest asks for them. */
export const SCOPES = [...NEEDED, ...FOR_LOOKING_BACK].sort()

/** A scope that is missing goes to the log: what needs it will fail, and the rest works. @throws Error with one sentence for the operator */
export async function identify(
  botToken: string,
  options: ClientOptions,
  log: Log,
  signal: AbortSignal,
): Promise<Identity> {
  const web = new webApi.WebClient(botToken, { ...options, logger: silentLogger, retryConfig: { retries: 0 } })
  const advice = 'copy the Bot User OAuth Token from OAuth & Permissions into SLACK_BOT_TOKEN.'
  const self = await persist(() => web.auth.test(), { advice, log, signal })
  const granted = self.response_metadata?.scopes
  const missing = (scopes: readonly string[]) => (granted ? scopes.filter((scope) => !granted.includes(scope)) : [])
  const [needed, useful] = [missing(NEEDED), missing(FOR_LOOKING_BACK)]
  const remedy = 'paste the manifest again, reinstall the app and start again.'
  if (needed.length > 0) log(`slack: the app lacks ${needed.join(', ')}; ${remedy}`)
  if (useful.length > 0) {
    log(`slack: without ${useful.join(', ')} a message may stand twice after a crash; ${remedy}`)
  }
  return { team: self.team_id!, botId: self.bot_id!, botUserId: self.user_id!, name: self.user! }
}
