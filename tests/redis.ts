/** A real Redis server for a test. */

import { onTestFinished } from 'vitest'
import { RedisServer } from './redis-server.ts'

export { hasRedis } from './redis-server.ts'

/** Ended with the test. */
export async function startRedis(password?: string): Promise<RedisServer> {
  const server = await RedisServer.open(password)
  onTestFinished(() => server.remove())
  return server
}
