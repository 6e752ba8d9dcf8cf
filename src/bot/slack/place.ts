/** Slack's addresses as a job's place keeps them. */

import type { Place } from '../../job/job.ts'

/** A message and the files that it shows: whoever deletes the one must know the others. */
export interface SlackMessage {
  readonly ts: string
  /** In the order of the job's pictures; none until they are uploaded. */
  readonly files: readonly string[]
}

/** `1700000000.000100`, or `1700000000.000100 F0123 F0124` once it shows two pictures. */
export function formatMessage({ ts, files }: SlackMessage): string {
  return [ts, ...files].join(' ')
}

export function parseMessage(text: string): SlackMessage {
  const [ts, ...files] = text.split(' ')
  return { ts: ts!, files }
}

/** Ids of direct messages begin with D. */
export function placeOf(team: string, channel: string, user: string): Place {
  return { platform: 'slack', guild: channel.startsWith('D') ? `dm:${user}` : team, channel }
}
