/** The built program, killed in the middle of its work: every job is answered, once, with the pictures that it would have had. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Job } from '../../src/job/job.ts'
import { newJob, request, temporaryFolder } from './jobs.ts'

const KILLS = 5

const fixture = fileURLToPath(new URL('fixtures/program.js', import.meta.url))

interface Line {
  readonly ready?: string[]
  readonly added?: string
  readonly refused?: string
  readonly code?: string
  readonly why?: string
  readonly step?: number
  readonly id?: string
  readonly answering?: string
  readonly state?: Job['state']
  readonly answered?: string
  readonly unanswered?: string
  readonly log?: string
  readonly unhandled?: string
}

class Program {
  readonly lines: Line[] = []
  readonly #process: ChildProcess
  #ended = false

  constructor(command: string[]) {
    this.#process = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#process.on('close', () => {
      this.#ended = true
      this.#process.emit('said')
    })
    const output = createInterface(this.#process.stdout!)
    output.on('line', (line) => {
      this.lines.push(JSON.parse(line))
      this.#process.emit('said')
    })
    onTestFinished(() => this.kill())
  }

  add(...jobs: Job[]): void {
    for (const job of jobs) this.#process.stdin!.write(`${JSON.stringify(job)}\n`)
  }

  /** Resolves when enough of its lines pass; rejects when it ends before. */
  async said(enough: (lines: Line[]) => boolean): Promise<void> {
    while (!enough(this.lines)) {
      if (this.#ended)
        throw new Error(`The program ended:\n${this.lines.map((line) => JSON.stringify(line)).join('\n')}`)
      await once(this.#process, 'said')
    }
  }

  /** Ends the limit that `ulimit -f` set. */
  async allowLargeFiles(): Promise<void> {
    const raised = spawn('prlimit', ['--pid', String(this.#process.pid), '--fsize=unlimited'], { stdio: 'inherit' })
    await once(raised, 'exit')
  }

  async ended(): Promise<void> {
    if (!this.#ended) await once(this.#process, 'close')
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.ended()
  }
}

async function folders() {
  const folder = await temporaryFolder()
  return { data: join(folder, 'data'), chat: join(folder, 'chat') }
}

function start({ data, chat }: { data: string; chat: string }): Program {
  return new Program([process.execPath, fixture, data, chat])
}

/** Jobs whose message is known from the start, as of a chat that was answered at once. */
function jobsFor(count: number): Job[] {
  return Array.from({ length: count }, (_, index) => {
    const place = { platform: 'test', guild: `guild ${index % 3}`, channel: 'c', message: `message-${index}` }
    return newJob({ place, author: `author ${index % 4}`, request: { ...request, seed: 1000 * index } })
  })
}

async function messages(chat: string): Promise<Record<string, { state: string; error?: string; pictures: string[] }>> {
  const names = await readdir(chat)
  const texts = await Promise.all(names.map((name) => readFile(join(chat, name), 'utf8')))
  return Object.fromEntries(names.map((name, index) => [name, JSON.parse(texts[index]!)]))
}

const has = (key: keyof Line, count: number) => (lines: Line[]) => lines.filter((line) => key in line).length >= count

it('was built (npm run build)', () => {
  expect(existsSync(new URL('../../dist/queue/queue.js', import.meta.url))).toBe(true)
})

describe('kill -9', () => {
  it('loses no job and answers each once with the same bytes, wherever it strikes', async () => {
    const jobs = jobsFor(24)
    const calm = await folders()
    const undisturbed = start(calm)
    undisturbed.add(...jobs)
    await undisturbed.said(has('answered', jobs.length))
    await undisturbed.kill()
    const expected = await messages(calm.chat)
    expect(Object.keys(expected)).toHaveLength(jobs.length)

    const rough = await folders()
    const said: Line[] = []
    const steps: number[] = []
    for (let life = 0; life <= KILLS; life++) {
      const program = start(rough)
      if (life === 0) {
        program.add(...jobs)
        await program.said(has('added', jobs.length))
      }
      await program.said(has('ready', 1))
      if (life === KILLS) {
        const left = program.lines.find(({ ready }) => ready)!.ready!
        await program.said((lines) => left.every((id) => lines.some(({ answered }) => answered === id)))
      } else {
        // Every other time a job gets through first, so that none dies three times.
        const stepped = (lines: Line[], job: string) => lines.some(({ step, id }) => step && id === job)
        if (life % 2) await program.said((lines) => lines.some(({ answered }) => answered && stepped(lines, answered)))
        const more = 1 + Math.floor(Math.random() * 16)
        steps.push(more)
        await program.said(has('step', program.lines.filter(({ step }) => step).length + more))
      }
      await program.kill()
      said.push(...program.lines)
    }
    const context = `killed after so many steps: ${steps.join(', ')}`
    expect(await messages(rough.chat), context).toEqual(expected)
    const answered = said.flatMap(({ answered }) => answered ?? [])
    expect(new Set(answered).size, context).toBe(answered.length)
    // What was answered is never touched again.
    for (const id of answered) {
      const rest = said.slice(said.findIndex((line) => line.answered === id) + 1)
      expect(
        rest.filter((line) => line.id === id || line.answering === id || line.ready?.includes(id)),
        context,
      ).toEqual([])
    }
    expect(said.filter((line) => line.unhandled || line.refused)).toEqual([])
  })

  it('gives up a job that takes the program down each time, and only that one', async () => {
    const place = await folders()
    const [poison, good] = jobsFor(2) as [Job, Job]
    const jobs = [{ ...poison, attempts: 17, request: { ...request, prompt: 'poison' } }, good]
    const first = start(place)
    first.add(...jobs)
    await first.ended()
    for (let life = 2; life <= 3; life++) await start(place).ended()
    const last = start(place)
    if (!first.lines.some(({ added }) => added === good.id)) last.add(good)
    await last.said((lines) => [poison.id, good.id].every((id) => lines.some(({ answered }) => answered === id)))
    const chat = await messages(place.chat)
    expect(chat['message-0']).toMatchObject({ state: 'failed', error: expect.stringContaining('interrupted 20 times') })
    expect(chat['message-1']).toMatchObject({ state: 'done' })
  })
})

describe.runIf(process.platform === 'linux')('a full disk', () => {
  it('refuses jobs in words, fails none that it took, and draws them all when there is space again', async () => {
    const place = await folders()
    // No file may grow beyond 2048 blocks of 512 bytes; the write fails, as it does when a disk is full.
    const limited = 'trap "" XFSZ; ulimit -S -f 2048; exec "$0" "$@"'
    const program = new Program(['sh', '-c', limited, process.execPath, fixture, place.data, place.chat])
    const jobs = jobsFor(2000)
    const answers = (lines: Line[]) => lines.filter((line) => line.added || line.refused).length
    for (const [index, job] of jobs.entries()) {
      program.add(job)
      await program.said((lines) => answers(lines) > index)
      if (has('refused', 3)(program.lines)) break
    }
    const taken = program.lines.flatMap(({ added }) => added ?? [])
    const refused = program.lines.filter((line) => line.refused)
    expect(taken.length).toBeGreaterThan(3)
    expect(refused.every(({ code, why }) => code === 'unavailable' && why!.includes('try again'))).toBe(true)
    await program.said(has('log', 1))
    const logged = program.lines.flatMap(({ log }) => log ?? [])
    expect(logged.filter((line) => line.includes('jobs.db cannot be written, as if the disk were full'))).toHaveLength(
      1,
    )

    await program.allowLargeFiles()
    await program.said((lines) => taken.every((id) => lines.some(({ answered }) => answered === id)))
    const chat = await messages(place.chat)
    const told = jobs.filter(({ id }) => taken.includes(id)).map((job) => chat[job.place.message!])
    expect(told.every((message) => message?.state === 'done')).toBe(true)
    expect(Object.keys(chat)).toHaveLength(taken.length)
    expect(program.lines.filter((line) => line.unhandled)).toEqual([])
    await program.kill()

    const after = start(place)
    await after.said(has('ready', 1))
    expect(after.lines[0]!.ready).toEqual([])
  })
})
