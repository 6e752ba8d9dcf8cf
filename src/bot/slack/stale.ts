/** Whether a message whose button was clicked says what is no longer so, and how a click removes it. */

import type { BlockAction, RespondFn, webApi } from '@slack/bolt'
import type { Action } from '../../commands/actions.ts'
import type { Job } from '../../job/job.ts'
import { type Staleness, staleness } from '../staleness.ts'
import { parseMessage } from './place.ts'

/** What any chat's message may be, or 'double': another shows the job, and this one was posted without our hearing of it. */
export function clickedStaleness(action: Action, job: Job | undefined, body: BlockAction): Staleness | 'double' {
  const found = staleness(action, job)
  return found !== 'gone' && job && isDouble(job, body) ? 'double' : found
}

function isDouble({ place: { message } }: Job, body: BlockAction): boolean {
  const isCopy = body.container?.is_ephemeral === true
  const shown = message === undefined ? undefined : parseMessage(message).ts
  const clicked = tsOf(body)
  return !isCopy && shown !== undefined && clicked !== undefined && clicked !== shown
}

/** By the click's own address, which works where the bot's token does not; by its name otherwise. */
export async function removeClicked(body: BlockAction, respond: RespondFn, web: webApi.WebClient): Promise<void> {
  const ts = tsOf(body)
  try {
    await respond({ delete_original: true })
  } catch {
    if (body.channel && ts) await web.chat.delete({ channel: body.channel.id, ts }).catch(() => {})
  }
}

function tsOf({ message, container }: BlockAction): string | undefined {
  return message?.ts ?? container?.message_ts
}
