/** Bolt's logger, led into ours: warnings and errors in one line each, and never a token. */

import { type Logger, LogLevel } from '@slack/bolt'
import type { Log } from '../platform.ts'

const MAX_LENGTH = 300

export function loggerTo(log: Log): Logger {
  const write = (...parts: unknown[]) => log(`slack: ${lineOf(parts)}`)
  return {
    debug: () => {},
    info: () => {},
    warn: write,
    error: write,
    setLevel: () => {},
    getLevel: () => LogLevel.WARN,
    setName: () => {},
  }
}

/** For what reports its errors to its caller anyway. */
export const silentLogger: Logger = loggerTo(() => {})

/** Tokens (`xoxb-…`, `xapp-…`) and the addresses that stand for one (Socket Mode's ticket, response URLs) are left out. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/\bx(?:ox[a-z]|app)(?:\.[a-z]+)?-[\w-]+/giu, '[token]')
    .replace(/\b(?:wss?|https?):\/\/[^\s"')]+/giu, (url) => (URL.canParse(url) ? new URL(url).host : '[address]'))
}

function lineOf(parts: unknown[]): string {
  const text = parts.map((part) => (part instanceof Error ? part.message : String(part))).join(' ')
  const line = withoutSecrets(text).replace(/\s+/gu, ' ')
  return line.length > MAX_LENGTH ? `${line.slice(0, MAX_LENGTH)}…` : line
}
