/** What the fake Discord refuses with. */

/** Discord's errors by their code. https://discord.com/developers/docs/topics/opcodes-and-status-codes */
export const ERRORS = {
  0: [401, '401: Unauthorized'],
  10003: [404, 'Unknown Channel'],
  20009: [400, 'Explicit content cannot be sent to the desired recipient(s)'],
  30046: [429, 'Maximum number of edits to messages older than 1 hour reached. Try again later.'],
  10008: [404, 'Unknown Message'],
  10015: [404, 'Unknown Webhook'],
  10062: [404, 'Unknown interaction'],
  40005: [413, 'Request entity too large'],
  40060: [400, 'Interaction has already been acknowledged.'],
  50001: [403, 'Missing Access'],
  50006: [400, 'Cannot send an empty message'],
  50013: [403, 'Missing Permissions'],
  50027: [401, 'Invalid Webhook Token'],
  50035: [400, 'Invalid Form Body'],
  50083: [400, 'Thread is archived'],
  200000: [400, 'Message was blocked by automatic moderation'],
} as const satisfies Record<number, readonly [number, string]>

export class Refusal extends Error {
  readonly code: keyof typeof ERRORS

  constructor(code: keyof typeof ERRORS) {
    super(ERRORS[code][1])
    this.code = code
  }
}
