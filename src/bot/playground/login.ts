/** The login of a playground that others can reach: a password, or a link that the operator gives to whom they like. */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context, Handler, MiddlewareHandler } from 'hono'
import { getCookie, setCookie } from 'hono/cookie'
import { createMiddleware } from 'hono/factory'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import type { Failure } from './message.ts'

export interface LoginOptions {
  /** Where no password is set, whoever has the link that `start` prints may enter. */
  readonly password: string | undefined
  /** Keeps the link's token, so that a link stays good over a restart. */
  readonly dataDir: string | undefined
}

const COOKIE = 'seedling_login'
const DAYS = 30
const TRIES_PER_MINUTE = 10
const TOKEN = /^[\w-]{32}$/

export class Login {
  readonly #secret: string
  readonly #hasPassword: boolean
  readonly #tries = new RateLimiterMemory({ points: TRIES_PER_MINUTE, duration: 60 })

  private constructor(secret: string, hasPassword: boolean) {
    this.#secret = secret
    this.#hasPassword = hasPassword
  }

  static async open({ password, dataDir }: LoginOptions): Promise<Login> {
    return password === undefined ? new Login(await tokenIn(dataDir), false) : new Login(password, true)
  }

  /** For the operator: how others enter. */
  invitation(address: string): string {
    if (this.#hasPassword) return `entered with the password in SEEDLING_PAGE_PASSWORD`
    return `entered by ${address}/login?token=${this.#secret} (elsewhere, with this machine's name in it)`
  }

  /** What a request without a login gets: the page with the form in place of the page, and a sentence in place of the rest. */
  guard(isOpen: (path: string) => boolean, form: Handler): MiddlewareHandler {
    return createMiddleware(async (c, next) => {
      if (isOpen(c.req.path) || this.#isIn(c)) return next()
      if (c.req.path === '/') return form(c, next)
      const error = 'This playground is for those who have its link or its password; open it at / to log in.'
      return c.json<Failure>({ error }, 401)
    })
  }

  /**
   * Lets in whoever knows the secret, with a cookie that goes along when somebody follows a link to the page.
   * @param address whose tries are counted
   * @returns undefined, or why not
   */
  async enter(c: Context, secret: string, address: string, secure: boolean): Promise<Failure | undefined> {
    const mayTry = await this.#tries.consume(address).then(
      () => true,
      () => false,
    )
    if (!mayTry) return { error: 'Too many tries; wait a minute, then try again.' }
    if (!isSame(secret, this.#secret)) {
      return {
        error: this.#hasPassword ? 'That is not the password.' : 'This link is not valid any more; ask for a new one.',
      }
    }
    // Many may live behind one address; only wrong tries count.
    await this.#tries.reward(address)
    setCookie(c, COOKIE, this.#proof(), {
      httpOnly: true,
      sameSite: 'Lax',
      path: '/',
      maxAge: DAYS * 24 * 60 * 60,
      secure,
    })
    return undefined
  }

  #isIn(c: Context): boolean {
    return isSame(getCookie(c, COOKIE) ?? '', this.#proof())
  }

  /** Another password makes every cookie void. */
  #proof(): string {
    return createHmac('sha256', this.#secret).update('seedling login').digest('hex')
  }
}

/** In a time that tells nothing. */
function isSame(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHmac('sha256', 'compare').update(text).digest()) as [Buffer, Buffer]
  return timingSafeEqual(a, b)
}

async function tokenIn(dataDir: string | undefined): Promise<string> {
  const token = randomBytes(24).toString('base64url')
  if (dataDir === undefined) return token
  const file = join(dataDir, 'playground-token')
  const known = (await readFile(file, 'utf8').catch(() => '')).trim()
  if (TOKEN.test(known)) return known
  await writeFile(file, `${token}\n`, { mode: 0o600 })
  return token
}
