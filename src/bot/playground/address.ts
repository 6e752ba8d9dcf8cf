/** Where a request comes from, as limits count it, and by which way it came. */

import { isIPv6 } from 'node:net'
import { getConnInfo } from '@hono/node-server/conninfo'
import type { Context } from 'hono'

/** Whether a host that is listened on, or asked for, is this machine alone. */
export function isLoopback(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/iu.test(host)
}

/**
 * What one person can have but few of: an IPv4 address, or an IPv6 network, since each connection there may have an
 * address of its own.
 * @param trustsProxy a reverse proxy stands in front and adds to X-Forwarded-For whom it speaks for
 */
export function addressOf(c: Context, trustsProxy: boolean): string {
  const told = trustsProxy ? c.req.header('x-forwarded-for')?.split(',').at(-1)?.trim() : undefined
  return networkOf(told || getConnInfo(c).remote.address || '')
}

export function isSecure(c: Context, trustsProxy: boolean): boolean {
  if (trustsProxy && c.req.header('x-forwarded-proto')?.toLowerCase() === 'https') return true
  return new URL(c.req.url).protocol === 'https:'
}

export function networkOf(address: string): string {
  // Some proxies tell the port, too, which is another one for each connection.
  const host = /^\[([^\]]*)\](?::\d+)?$/u.exec(address)?.[1] ?? address.replace(/^([\d.]+):\d+$/u, '$1')
  const plain = host.replace(/^::ffff:(?=\d+\.)/iu, '').replace(/%.*$/u, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('::')
  const [first, last] = [head, tail ?? ''].map((part) => part.split(':').filter(Boolean)) as [string[], string[]]
  const zeros = tail === undefined ? [] : Array<string>(8 - first.length - last.length).fill('0')
  const groups = [...first, ...zeros, ...last].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16))
  return `${groups.join(':')}::/64`
}
