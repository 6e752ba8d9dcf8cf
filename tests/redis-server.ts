/** A real Redis server on loopback, in a folder of its own; what it was told outlives its death, as `appendonly` promises. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createClient, type RedisClientType } from '@redis/client'

/** Where it is not installed (Debian: `apt-get install redis-server`) its tests are skipped. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0

export class RedisServer {
  readonly port: number
  readonly #folder: string
  readonly #password: string | undefined
  readonly #clients: RedisClientType[] = []
  #process!: ChildProcess

  /** Started, on any free port. */
  static async open(password?: string): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'seedling-redis-'))
    const server = new RedisServer(await freePort(), folder, password)
    await server.start()
    return server
  }

  constructor(port: number, folder: string, password: string | undefined) {
    this.port = port
    this.#folder = folder
    this.#password = password
  }

  get url(): string {
    return `redis://${this.#password === undefined ? '' : `:${this.#password}@`}127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const options = {
      port: this.port,
      bind: '127.0.0.1',
      dir: this.#folder,
      save: '',
      appendonly: 'yes',
      appendfsync: 'always',
      ...(this.#password !== undefined && { requirepass: this.#password }),
    }
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
    this.#process = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines: string[] = []
    for await (const line of createInterface(this.#process.stdout!)) {
      lines.push(line)
      if (!/Ready to accept connections/.test(line)) continue
      this.#process.stdout!.resume()
      return
    }
    throw new Error(`redis-server ended:\n${lines.join('\n')}`)
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#process.kill('SIGKILL')
    await once(this.#process, 'exit')
  }

  /** It holds its connections and says nothing, until `thaw`. */
  freeze(): void {
    this.#process.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process.kill('SIGCONT')
  }

  /** A client of whoever looks into it. */
  async client(): Promise<RedisClientType> {
    const client: RedisClientType = createClient({ url: this.url })
    client.on('error', () => {})
    await client.connect()
    this.#clients.push(client)
    return client
  }

  /** Ends it, and removes its folder. */
  async remove(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
