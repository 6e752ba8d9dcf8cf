/** The built program as its operator runs it: a process with settings in its environment and lines on its output. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url))

export class Program {
  /** Everything that was said so far, both outputs together. */
  readonly lines: string[] = []
  readonly #process: ChildProcess
  readonly #exit: Promise<number | null>

  /** Starts in an empty folder, on any free port, with the embedded model on the CPU unless `settings` say otherwise. */
  constructor(folder: string, settings: Readonly<Record<string, string>> = {}) {
    const { PATH } = process.env
    const env = { PATH, PORT: '0', SEEDLING_DEVICE: 'cpu', ...settings }
    this.#process = spawn(process.execPath, [CLI, 'start'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#exit = once(this.#process, 'exit').then(([code]) => code)
    for (const output of [this.#process.stdout!, this.#process.stderr!]) {
      createInterface(output).on('line', (line) => {
        this.lines.push(line)
        this.#process.emit('line')
      })
    }
  }

  get output(): string {
    return this.lines.join('\n')
  }

  /** Waits for a line and gives what the pattern caught. */
  async says(pattern: RegExp): Promise<string> {
    const ended = this.#exit.then((code) => {
      throw new Error(`the program ended with ${code} and never said ${pattern}:\n${this.output}`)
    })
    ended.catch(() => {})
    for (;;) {
      const match = pattern.exec(this.output)
      if (match) return match[1] ?? match[0]
      await Promise.race([once(this.#process, 'line'), ended])
    }
  }

  /** The playground's address, once it is served. */
  async address(): Promise<string> {
    const address = await this.says(/Playground +on: (\S+)/)
    await this.says(/Slack +(on|off|down)/)
    return address
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal)
    return this.#exit
  }

  exit(): Promise<number | null> {
    return this.#exit
  }

  /** The ids of the processes that it started. */
  async children(): Promise<number[]> {
    const pid = this.#process.pid
    const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const parents = await Promise.all(ids.map((id) => readFile(`/proc/${id}/stat`, 'utf8').catch(() => '')))
    return parents
      .filter((stat) => stat.replace(/^.*\) /s, '').split(' ')[1] === String(pid))
      .map((stat) => Number.parseInt(stat, 10))
  }
}

/** Runs the program in a folder of its own; it is ended with the test. */
export async function startProgram(settings: Readonly<Record<string, string>> = {}, folder?: string): Promise<Program> {
  const program = new Program(folder ?? (await temporaryFolder()), settings)
  onTestFinished(async () => void (await program.kill('SIGKILL')))
  return program
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'seedling-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
