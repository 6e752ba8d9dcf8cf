/** Whether a message whose button was clicked says what is no longer so, and how a click removes it. */

import type { BlockAction, RespondFn, webApi } from '@slack/bolt'
import type { Action } from '../../commands/actions.ts'
import { isFinished, type Job } from '../../job/job.ts'
import { parseMessage } from './place.ts'

export type Staleness =
  | 'fresh'
  /** The job has ended, and the message does not say so. */
  | 'outdated'
  /** The job was deleted. */
  | 'gone'
  /** Another message shows the job: this one was posted without our hearing of it. */
  | 'double'

export function staleness(action: Action, job: Job | undefined, body: BlockAction): Staleness {
  const asksForNews = action === 'cancel' || action === 'show'
  if (job?.deletedAt || (!job && asksForNews)) return 'gone'
  if (!job) return 'fresh'
  const isCopy = body.container?.is_ephemeral === true
  const shown = job.place.message === undefined ? undefined : parseMessage(job.place.message).ts
  const clicked = tsOf(body)
  if (!isCopy && shown !== undefined && clicked !== undefined && clicked !== shown) return 'double'
  return action === 'show' || (action === 'cancel' && isFinished(job)) ? 'outdated' : 'fresh'
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
