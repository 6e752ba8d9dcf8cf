/** The form of what Slack tells us: an event that breaks it is a line in the log, and goes no further. */

/** A stranger's JSON. */
// biome-ignore lint/suspicious/noExplicitAny: every field is checked before it is used
type Body = any

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null

const INTERACTIONS: Record<string, (body: Body) => boolean> = {
  block_actions: ({ actions }) => Array.isArray(actions) && actions.length > 0 && actions.every(isObject),
  shortcut: ({ callback_id, trigger_id }) => isText(callback_id) && isText(trigger_id),
  message_action: ({ callback_id, trigger_id }) => isText(callback_id) && isText(trigger_id),
  view_submission: ({ view }) => isText(view?.callback_id) && isObject(view.state?.values),
  view_closed: ({ view }) => isText(view?.callback_id),
}

/** What is wrong with an event, without repeating it; undefined for a good one. */
export function problemOf(body: Body): string | undefined {
  if (!isObject(body)) return 'it is no object'
  if (body.command !== undefined) {
    const fields = [body.command, body.channel_id, body.user_id, body.trigger_id]
    return fields.every(isText) ? undefined : 'a command that lacks its channel, its user or its trigger'
  }
  if (body.type === 'event_callback') return isText(body.event?.type) ? undefined : 'an event without a type'
  if (body.type === 'url_verification' || body.ssl_check !== undefined) return undefined
  if (!Object.hasOwn(INTERACTIONS, body.type)) return 'of a kind that is not known here'
  if (!isText(body.user?.id)) return 'an interaction of nobody'
  return INTERACTIONS[body.type]!(body) ? undefined : 'an interaction that lacks what it is about'
}
