/** What a button means: an action, a picture and a job in one short string, `vary:1:0123456789abcdef`; no other state. */

export type Action = 'reroll' | 'vary' | 'upscale' | 'cancel' | 'delete' | 'show'

export interface ActionId {
  readonly action: Action
  /** The picture, from 0; 0 where the action concerns the whole job. */
  readonly index: number
  readonly job: string
}

/** At most 100 characters, for Discord's `custom_id`. */
export function formatActionId({ action, index, job }: ActionId): string {
  return `${action}:${index}:${job}`
}

const PATTERN = /^(reroll|vary|upscale|cancel|delete|show):([0-9]):([0-9a-f]{16})$/

/** Undefined for anything that `formatActionId` did not write. */
export function parseActionId(text: string): ActionId | undefined {
  const match = PATTERN.exec(text)
  if (!match) return undefined
  return { action: match[1] as Action, index: Number(match[2]), job: match[3]! }
}
