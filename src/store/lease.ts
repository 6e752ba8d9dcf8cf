/**
 * Which of several programs on one Redis writes: the one that holds the lease. Its token counts up with every change of
 * hands, and a write that carries an older one is refused, however late it comes.
 */

import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'

/** A program that was killed is replaced after so long. */
export const LEASE_MS = 10_000
const RENEW_MS = 3000
const ASK_AGAIN_MS = 500

const LEASE = 'seedling:lease'
/** The token of whoever took the lease last. */
const FENCE = 'seedling:fence'
/** What Redis answers to a write with an old token. */
const REFUSAL = 'FENCED'

/** Takes the lease where it is free, or the last holder's who is known to be gone. Gives the token, or who holds it. */
const TAKE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('INCR', KEYS[2])`

/** Also where it ran out, or Redis lost it, as long as nobody else took it. */
const RENEW = `
local token = redis.call('GET', KEYS[2])
if token and token ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1`

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`

/** `commands` after a check of the token, which comes behind their own arguments, as the fence behind their keys. */
function fenced(commands: string): string {
  return `
local token = redis.call('GET', KEYS[#KEYS])
if token and token ~= ARGV[#ARGV] then return redis.error_reply('${REFUSAL} another program has the lease') end
${commands}`
}

/** Runs a script: its keys, and its arguments. */
export type Eval = (script: string, keys: string[], args: string[]) => Promise<unknown>

export interface LeaseOptions {
  readonly log: (line: string) => void
  /** How Redis is called in the log. */
  readonly name: string
  /** Gives up waiting; rejects with its `reason`. */
  readonly signal?: AbortSignal | undefined
}

/** Resolves when it is this program's turn. @throws what Redis answers; the signal's reason */
export async function takeLease(evaluate: Eval, { log, name, signal }: LeaseOptions): Promise<Lease> {
  const holder = `${hostname()} ${process.pid} ${randomUUID()}`
  let told = false
  let gone = ''
  for (;;) {
    const answer = await evaluate(TAKE, [LEASE, FENCE], [holder, String(LEASE_MS), gone]).catch((error) => {
      // Whoever waits already waits for Redis, too.
      if (!told) throw error
      return ''
    })
    if (typeof answer === 'number') return new Lease(evaluate, holder, answer)
    const other = String(answer)
    gone = isGone(other) ? other : ''
    if (gone) continue
    if (!told)
      log(`${name} is in use by another Seedling (${other.split(' ')[0]}); this one takes over when that ends.`)
    told = true
    await delay(ASK_AGAIN_MS, undefined, signal && { signal })
  }
}

/** Only for a program of this machine can that be told. */
function isGone(holder: string): boolean {
  const [host, pid] = holder.split(' ')
  if (host !== hostname() || Number(pid) === process.pid) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

export class Lease {
  readonly #evaluate: Eval
  readonly #holder: string
  readonly #token: string
  readonly #lost = new AbortController()
  readonly #renewing: NodeJS.Timeout

  constructor(evaluate: Eval, holder: string, token: number) {
    this.#evaluate = evaluate
    this.#holder = holder
    this.#token = String(token)
    this.#renewing = setInterval(() => void this.#renew(), RENEW_MS).unref()
  }

  /** Aborts when another program has taken the lease. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Runs write commands (Lua), unless another program has the lease by now. @throws what Redis answers */
  async write(commands: string, keys: string[], args: string[]): Promise<unknown> {
    try {
      return await this.#evaluate(fenced(commands), [...keys, FENCE], [...args, this.#token])
    } catch (error) {
      if ((error as Error).message.startsWith(REFUSAL)) this.#lose()
      throw error
    }
  }

  /** Lets the next one have it at once. */
  async release(): Promise<void> {
    clearInterval(this.#renewing)
    if (this.lost.aborted) return
    // Without an answer it runs out by itself.
    await this.#evaluate(RELEASE, [LEASE], [this.#holder]).catch(() => {})
  }

  /** While Redis is away nobody else can take it. */
  async #renew(): Promise<void> {
    const args = [this.#holder, String(LEASE_MS), this.#token]
    const held = await this.#evaluate(RENEW, [LEASE, FENCE], args).catch(() => 1)
    if (held === 0) this.#lose()
  }

  #lose(): void {
    clearInterval(this.#renewing)
    this.#lost.abort(new Error('Another Seedling has taken over.'))
  }
}
