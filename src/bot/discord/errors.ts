/** What Discord's answers mean for a message. https://discord.com/developers/docs/topics/opcodes-and-status-codes */

import { DiscordAPIError, RESTJSONErrorCodes } from 'discord.js'
import { OutOfReachError, PlaceGoneError, RefusedError } from '../platform.ts'

/** The failures that pass, beside those of the network, 429 and 5xx; every other is final. */
const PASSING: readonly unknown[] = [
  RESTJSONErrorCodes.ActionCannotBePerformedDueToSlowmodeRateLimit,
  RESTJSONErrorCodes.AnnouncementEditLimitExceeded,
  RESTJSONErrorCodes.ChannelWriteRateLimit,
  RESTJSONErrorCodes.ServerWriteRateLimit,
  RESTJSONErrorCodes.FeatureTemporarilyDisabledServerSide,
  RESTJSONErrorCodes.ServiceResourceIsBeingRateLimited,
  RESTJSONErrorCodes.CloudflareIsBlockingYourRequest,
  RESTJSONErrorCodes.APIResourceOverloaded,
]

/** Somebody deleted the message, or all that it stood in. */
const GONE: readonly unknown[] = [
  RESTJSONErrorCodes.UnknownMessage,
  RESTJSONErrorCodes.UnknownChannel,
  RESTJSONErrorCodes.UnknownGuild,
]

/** The bot is no member there, or may not look; a channel among people without it is unknown to it. */
const CLOSED: readonly unknown[] = [
  RESTJSONErrorCodes.MissingAccess,
  RESTJSONErrorCodes.UnknownChannel,
  RESTJSONErrorCodes.UnknownGuild,
]

const TOKEN_ENDED: readonly unknown[] = [
  RESTJSONErrorCodes.InvalidWebhookToken,
  RESTJSONErrorCodes.UnknownWebhook,
  RESTJSONErrorCodes.UnknownInteraction,
]

/** No edit helps, but a new message does: an archived thread, which a post opens again, and edits of old messages. */
const POST_ANEW: readonly unknown[] = [
  RESTJSONErrorCodes.InvalidActionOnArchivedThread,
  RESTJSONErrorCodes.MaximumNumberOfEditsToMessagesOlderThanOneHourReached,
]

export const WRONG_TOKEN =
  'Discord refused DISCORD_TOKEN; copy it again from https://discord.com/developers/applications (Bot, Reset Token).'

const MAX_REASON = 200

/** For the job's author: why, and what to do. */
const SENTENCES: Record<number, string> = {
  [RESTJSONErrorCodes.ExplicitContentCannotBeSentToTheDesiredRecipient]:
    'Discord’s filter for explicit content refused this; ask for something else, or in an age-restricted channel.',
  [RESTJSONErrorCodes.MessageWasBlockedByAutomaticModeration]:
    'This server’s AutoMod refused these words; ask with others, or ask those who run this server.',
  [RESTJSONErrorCodes.MissingAccess]:
    'Seedling may not look at this channel; ask those who run this server to let it, then use /show.',
  [RESTJSONErrorCodes.MissingPermissions]:
    'Seedling may not write here; ask those who run this server for “Send Messages” and “Attach Files”, then use /show.',
  [RESTJSONErrorCodes.CannotSendMessagesToThisUser]:
    'Discord lets nobody write to you here; allow direct messages from this server, then use /show.',
  [RESTJSONErrorCodes.InvalidActionOnArchivedThread]:
    'This thread is locked; ask those who run this server to open it, or use /show in another channel.',
}

export function codeOf(error: unknown): number | undefined {
  return error instanceof DiscordAPIError && typeof error.code === 'number' ? error.code : undefined
}

/** The error as the presenter knows it; what passes stays as it is. */
export function verdictOn(error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || passes(error as DiscordAPIError)) return error
  const cause = { cause: error }
  if (GONE.includes(code)) return new PlaceGoneError('The message is gone.', cause)
  if (TOKEN_ENDED.includes(code)) return new OutOfReachError('The interaction’s token has ended.', cause)
  const reason = (error as Error).message.replace(/\s+/g, ' ').slice(0, MAX_REASON)
  const sentence = SENTENCES[code] ?? `Discord refuses to show this (${code}: ${reason}); try /show elsewhere.`
  return new RefusedError(code, sentence, cause)
}

function passes({ code, status }: DiscordAPIError): boolean {
  return status === 429 || status >= 500 || PASSING.includes(code)
}

export function isClosed(error: unknown): boolean {
  return CLOSED.includes(codeOf(error))
}

export function isGone(error: unknown): boolean {
  return GONE.includes(codeOf(error))
}

export function tokenEnded(error: unknown): boolean {
  return TOKEN_ENDED.includes(codeOf(error))
}

export function mustBePostedAnew(error: unknown): boolean {
  return POST_ANEW.includes(codeOf(error))
}

export function lacksPermission(error: unknown): boolean {
  return codeOf(error) === RESTJSONErrorCodes.MissingPermissions
}

export function isTooLarge(error: unknown): boolean {
  return (
    error instanceof DiscordAPIError &&
    (error.code === RESTJSONErrorCodes.RequestEntityTooLarge || error.status === 413)
  )
}

export function wasAnswered(error: unknown): boolean {
  return codeOf(error) === RESTJSONErrorCodes.InteractionHasAlreadyBeenAcknowledged
}
