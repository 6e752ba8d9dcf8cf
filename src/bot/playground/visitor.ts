/** Who looks at the page: a secret cookie, and what may be known of it, an id and a name. */

import { createHash, randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import type { Context as Asker } from '../../commands/commands.ts'
import type { Author } from '../../job/job.ts'

const COOKIE = 'seedling_visitor'
const SECRET = /^[0-9a-f]{32}$/
const DAYS = 400

/** Undefined for a request that carries no cookie of ours. */
export function visitorOf(c: Context): Author | undefined {
  const secret = getCookie(c, COOKIE)
  return secret && SECRET.test(secret) ? authorOf(secret) : undefined
}

/** Gives a newcomer a cookie of 128 random bits, and anybody else more time. `secure` keeps it off plain http. */
export function welcome(c: Context, secure: boolean): Author {
  const known = getCookie(c, COOKIE)
  const secret = known && SECRET.test(known) ? known : randomBytes(16).toString('hex')
  setCookie(c, COOKIE, secret, {
    httpOnly: true,
    sameSite: 'Strict',
    path: '/',
    maxAge: DAYS * 24 * 60 * 60,
    secure,
  })
  return authorOf(secret)
}

/** Each visitor has a chat alone: limits count by it, and nobody else's jobs appear in it. */
export function askerOf(author: Author): Asker {
  return { author, place: { platform: 'playground', guild: author.id, channel: author.id } }
}

/** Jobs are stored with their author's id and shown to others with the name, so neither may give the secret away. */
function authorOf(secret: string): Author {
  const hash = createHash('sha256').update(`visitor ${secret}`).digest()
  const name = `${QUALITIES[hash[16]! % QUALITIES.length]} ${PLANTS[hash[17]! % PLANTS.length]}`
  return { id: hash.toString('hex', 0, 16), name }
}

const QUALITIES = [
  'Amber',
  'Bright',
  'Calm',
  'Dewy',
  'Early',
  'Fair',
  'Gentle',
  'Hazel',
  'Lively',
  'Mellow',
  'Misty',
].concat(['Mossy', 'Noble', 'Olive', 'Patient', 'Quiet', 'Rosy', 'Silver', 'Snowy', 'Sunny', 'Tall', 'Velvet', 'Wild'])

const PLANTS = [
  'Alder',
  'Aster',
  'Birch',
  'Clover',
  'Daisy',
  'Elder',
  'Fern',
  'Ginkgo',
  'Hazel',
  'Iris',
  'Ivy',
  'Juniper',
].concat(['Laurel', 'Linden', 'Maple', 'Mint', 'Myrtle', 'Oak', 'Poppy', 'Rowan', 'Sage', 'Thyme', 'Tulip', 'Willow'])
