/** What may come through Discord's gateway: a frame that breaks its form is a line in the log, and never ends the program. */

import { type WebSocketShard, WebSocketShardDestroyRecovery } from '@discordjs/ws'
import { GatewayDispatchEvents, GatewayOpcodes } from 'discord.js'

/** A stranger's JSON. */
// biome-ignore lint/suspicious/noExplicitAny: every field is checked before it is used
type Frame = any

class FrameError extends Error {}

/** A `READY` that cannot be used: nothing after it would make a session of it. */
class ReadyError extends FrameError {}

/** What the library does inside, where a failure would be a rejection that nobody handles. */
interface Inside {
  readonly connection: WebSocket | null
  unpackMessage(data: unknown, isBinary: boolean): Promise<Frame>
  onMessage(data: unknown, isBinary: boolean): Promise<void>
  onClose(code: number): Promise<void>
  internalConnect(): Promise<void>
  heartbeat(requested?: boolean): Promise<void>
}

/**
 * Lets nothing that a shard receives do harm: frames are checked before the library reads them, and whatever fails on the
 * way is reported. A shard that is connecting anew is not told to do so again, and one that was ended stays so.
 */
export function guard(shard: WebSocketShard, report: (problem: string) => void): void {
  const inside = shard as unknown as Inside
  checkFrames(inside)
  let isEnded = false
  /** The command to connect anew that is being followed, until the new connection is begun. */
  let recovering: object | undefined

  const destroy = shard.destroy.bind(shard)
  shard.destroy = async (options = {}) => {
    const command = {}
    if (options.recover === undefined) isEnded = true
    else if (recovering) return
    else recovering = command
    // A connection that is given up while it opens reports that as an error when nobody listens any more.
    inside.connection?.addEventListener('error', () => {})
    try {
      await destroy(options)
    } finally {
      if (recovering === command) recovering = undefined
    }
  }

  for (const name of ['onMessage', 'onClose', 'internalConnect', 'heartbeat'] as const) {
    const act = (inside[name] as (...args: unknown[]) => Promise<void>).bind(shard)
    inside[name] = async (...args: unknown[]) => {
      if (name === 'internalConnect') {
        if (isEnded) return
        recovering = undefined
      }
      try {
        await act(...args)
      } catch (error) {
        report(`${error instanceof FrameError ? 'a frame was left out: ' : ''}${(error as Error).message}`)
        if (error instanceof ReadyError) await shard.destroy({ reason: 'READY', recover: RECONNECT })
      }
    }
  }
}

/** Hearts that beat faster would be a flood. */
const MIN_INTERVAL_MS = 10
const RECONNECT = WebSocketShardDestroyRecovery.Reconnect

function checkFrames(inside: Inside): void {
  const greeted = new WeakSet<object>()
  const unpack = inside.unpackMessage.bind(inside)
  inside.unpackMessage = async (data, isBinary) => {
    const frame = await unpack(data, isBinary)
    requireForm(frame)
    if (frame.op === GatewayOpcodes.Hello && inside.connection) {
      // Each would start a heart of its own, and only the last would ever stop.
      if (greeted.has(inside.connection)) throw new FrameError('a second HELLO')
      greeted.add(inside.connection)
    }
    return frame.op === GatewayOpcodes.InvalidSession ? { ...frame, d: frame.d === true } : frame
  }
}

/** @throws FrameError that says what is wrong, without repeating it */
function requireForm(frame: Frame): void {
  if (typeof frame !== 'object' || frame === null) throw new FrameError('it is no JSON object')
  const { op, t, d } = frame
  if (!Number.isInteger(op)) throw new FrameError('op is no whole number')
  if (op === GatewayOpcodes.Hello && !(d?.heartbeat_interval >= MIN_INTERVAL_MS))
    throw new FrameError('a HELLO without an interval')
  if (op !== GatewayOpcodes.Dispatch) return
  if (typeof t !== 'string') throw new FrameError('a dispatch without a name')
  if (t === GatewayDispatchEvents.Ready && !isReady(d)) throw new ReadyError('a READY without what it must say')
}

function isReady(d: Frame): boolean {
  const ids = [d?.session_id, d?.user?.id, d?.application?.id]
  return ids.every((id) => typeof id === 'string') && Array.isArray(d.guilds)
}
