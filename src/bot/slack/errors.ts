/** Slack's error codes, as far as somebody must be told or something must not be tried again. */

import { webApi } from '@slack/bolt'
import { PlaceGoneError } from '../platform.ts'

/** Nothing can be shown there, today or later; what the person is told where there is still a way to tell them. */
const GONE: Record<string, string> = {
  not_in_channel: 'invite',
  channel_not_found: 'invite',
  is_archived: 'This channel is archived; ask for pictures in another one.',
  message_not_found: 'The message is gone.',
  cant_update_message: 'The message is gone.',
}

/** The code of an answer with `ok: false`; undefined for a network that failed or anything else. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof webApi.WebAPIPlatformError ? error.data.error : undefined
}

/** Throws `error` as the presenter knows it. `bot` is the name to invite. */
export function throwPlaceGone(error: unknown, bot: string): never {
  const sentence = GONE[codeOf(error) ?? '']
  if (sentence === undefined) throw error
  const invite = `I am not in this conversation yet: type /invite @${bot} here and ask again, or ask me in a direct message.`
  throw new PlaceGoneError(sentence === 'invite' ? invite : sentence, { cause: error })
}
