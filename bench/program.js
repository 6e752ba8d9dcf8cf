/** The built program as its operator starts it, and the fakes that the tests have, for what is measured from outside. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const pathOf = (relative) => fileURLToPath(new URL(relative, import.meta.url))
const PATIENCE_MS = 120_000

export class Program {
  #process
  #output = ''

  /** @param {string} folder where it keeps its data @param {Record<string, string>} settings @param {string[]} wrapper a command that starts it */
  constructor(folder, settings, wrapper = []) {
    const [command, ...args] = [...wrapper, process.execPath, pathOf('../dist/cli.js'), 'start']
    this.#process = spawn(command, args, {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      env: { PATH: process.env.PATH, PORT: '0', SEEDLING_DEVICE: 'cpu', ...settings },
    })
    createInterface(this.#process.stdout).on('line', (line) => {
      this.#output += `${line}\n`
      this.#process.emit('line')
    })
    this.#process.once('exit', () => this.#process.emit('line'))
  }

  get pid() {
    return this.#process.pid
  }

  get output() {
    return this.#output
  }

  async says(pattern) {
    while (!pattern.test(this.#output)) {
      if (this.#hasEnded) throw new Error(`The program ended and never said ${pattern}:\n${this.#output}`)
      await once(this.#process, 'line', { signal: AbortSignal.timeout(PATIENCE_MS) })
    }
    return pattern.exec(this.#output)[1]
  }

  send(order) {
    this.#process.send(order)
  }

  async asks(order) {
    this.send(order)
    const [answer] = await once(this.#process, 'message')
    return answer
  }

  /** Milliseconds of CPU time so far. */
  get cpuMs() {
    const [user, system] = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
      .slice(11, 13)
    return 10 * (Number(user) + Number(system))
  }

  /** The engine's process id. */
  child() {
    const parent = (pid) => {
      try {
        return Number(
          readFileSync(`/proc/${pid}/stat`, 'utf8')
            .replace(/^.*\) /s, '')
            .split(' ')[1],
        )
      } catch {
        return undefined
      }
    }
    try {
      return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && parent(name) === this.pid))
    } catch {
      return undefined
    }
  }

  get #hasEnded() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  async stop(signal = 'SIGTERM') {
    if (this.#hasEnded) return
    this.#process.kill(signal)
    await once(this.#process, 'exit')
  }
}

let imported = 0

/** Node 20 does not read TypeScript; the bundle lies where its packages are found. */
export async function importTypeScript(file) {
  const cache = join(realpathSync(pathOf('../node_modules')), '.cache/seedling-bench')
  const outfile = join(cache, `${process.pid}-${imported++}.js`)
  await build({
    entryPoints: [pathOf(file)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  })
  try {
    return await import(outfile)
  } finally {
    rmSync(outfile)
  }
}
