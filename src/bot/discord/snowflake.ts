/** Discord's ids tell when they were made. https://discord.com/developers/docs/reference#snowflakes */

const DISCORD_EPOCH = 1_420_070_400_000

/** Milliseconds since the epoch; now for what is no such id. */
export function createdAt(id: string): number {
  return /^\d{1,20}$/.test(id) ? Number(BigInt(id) >> 22n) + DISCORD_EPOCH : Date.now()
}
