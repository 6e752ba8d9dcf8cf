/** What Slack's error codes mean: what passes, what is gone, what is refused for good, and the words for whoever asked. */

import { webApi } from '@slack/bolt'
import { PlaceGoneError, RefusedError } from '../platform.ts'

/** The failures that pass, beside those of the network, 429 and 5xx; every other code is final. */
const PASSING: ReadonlySet<string> = new Set([
  'fatal_error',
  'internal_error',
  'rate_limited',
  'ratelimited',
  'request_timeout',
  'service_unavailable',
  'team_added_to_org',
])

/** Somebody deleted what an edit is about. */
const GONE: ReadonlySet<string> = new Set(['message_not_found', 'channel_not_found'])

/** No edit helps, but a new message does. */
const POST_ANEW: ReadonlySet<string> = new Set(['edit_window_closed', 'cant_update_message'])

/** The token is good for nothing any more, so nothing else can be done in Slack either. */
const TOKEN_ENDED: ReadonlySet<string> = new Set([
  'account_inactive',
  'app_uninstalled',
  'invalid_auth',
  'not_authed',
  'org_login_required',
  'token_expired',
  'token_revoked',
])

const RUNNERS = 'ask those who run this workspace'
const NO_POSTS = `Apps may not post in this channel; ask for pictures in another one, or ${RUNNERS}.`
const NO_FILES = `The pictures are ready, but this workspace takes no more files from apps; ${RUNNERS}, then type /imagine show`
const TOO_LATE = 'Slack opens a form within three seconds only, and that moment has passed; please ask again.'
const NOT_SET_UP = `The app is not allowed to do this; ${RUNNERS} to install Seedling again from its manifest.`

/** For whoever asked: why, and what to do. `/imagine show` is followed by the job's number. */
const SENTENCES: Record<string, string> = {
  is_archived: 'This channel is archived; ask for pictures in another one.',
  is_inactive: 'This channel is not in use any more; ask for pictures in another one.',
  restricted_action: NO_POSTS,
  restricted_action_read_only_channel: NO_POSTS,
  restricted_action_thread_only_channel: NO_POSTS,
  restricted_action_non_threadable_channel: NO_POSTS,
  restricted_action_thread_locked: NO_POSTS,
  posting_to_general_channel_denied: NO_POSTS,
  no_permission: NO_POSTS,
  access_denied: NO_POSTS,
  ekm_access_denied: `Those who run this workspace have suspended access; ${RUNNERS}.`,
  team_access_not_granted: NOT_SET_UP,
  missing_scope: NOT_SET_UP,
  not_allowed_token_type: NOT_SET_UP,
  file_uploads_disabled: NO_FILES,
  file_uploads_except_images_disabled: NO_FILES,
  storage_limit_reached: NO_FILES,
  blocked_file_type: NO_FILES,
  file_upload_size_restricted: NO_FILES,
  slack_connect_file_upload_sharing_blocked: NO_FILES,
  slack_connect_file_link_sharing_blocked: NO_FILES,
  message_limit_exceeded: `This workspace has reached its limit of messages; ${RUNNERS}.`,
  expired_trigger_id: TOO_LATE,
  exchanged_trigger_id: TOO_LATE,
  invalid_trigger_id: TOO_LATE,
  trigger_expired: TOO_LATE,
  trigger_exchanged: TOO_LATE,
}

/** The code of an answer with `ok: false`; undefined for a network that failed or anything else. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof webApi.WebAPIPlatformError ? error.data.error : undefined
}

export function passes(code: string): boolean {
  return PASSING.has(code)
}

export function mustBePostedAnew(error: unknown): boolean {
  return POST_ANEW.has(codeOf(error) ?? '')
}

export function isGone(error: unknown): boolean {
  return GONE.has(codeOf(error) ?? '')
}

/** A sentence for the operator when the bot's token has ended. */
export function tokenEnded(error: unknown): string | undefined {
  const code = codeOf(error)
  if (code === undefined || !TOKEN_ENDED.has(code)) return undefined
  return `Slack refused (${code}); copy the Bot User OAuth Token from OAuth & Permissions into SLACK_BOT_TOKEN.`
}

/** The error as the presenter knows it; what passes stays as it is. */
export function verdictOn(error: unknown, job?: string): unknown {
  const code = codeOf(error)
  if (code === undefined || passes(code)) return error
  if (isGone(error)) return new PlaceGoneError('The message is gone.', { cause: error })
  const words = SENTENCES[code] ?? `Slack refuses this (${code}); ${RUNNERS}.`
  return new RefusedError(code, words === NO_FILES ? `${words} ${job ?? 'JOB'}.` : words, { cause: error })
}

/** The same for a first message, where an unknown channel is one that the bot is not in. `bot` is the name to invite. */
export function verdictOnPost(error: unknown, bot: string, job?: string): unknown {
  const code = codeOf(error)
  if (code !== 'not_in_channel' && code !== 'channel_not_found') return verdictOn(error, job)
  const invite = `I am not in this conversation yet: type /invite @${bot} here and ask again, or ask me in a direct message.`
  return new RefusedError(code, invite, { cause: error })
}
