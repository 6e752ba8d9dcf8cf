/** A playground that runs, with the real queue and stores in a folder of its own, and an engine that tests lead. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createPlayground, type Playground, type PlaygroundOptions } from '../../src/bot/playground/index.ts'
import { Presenter } from '../../src/bot/presenter.ts'
import type { Rooms } from '../../src/bot/rooms.ts'
import { Commands } from '../../src/commands/commands.ts'
import { JobQueue } from '../../src/queue/queue.ts'
import { openJobStore } from '../../src/store/jobs.ts'
import { openPictureStore } from '../../src/store/pictures.ts'
import { model } from '../fakes/engine.ts'
import { SquareEngine } from './engine.ts'

/** The page as `npm run build` makes it. */
export const pageFolder = fileURLToPath(new URL('../../dist/bot/playground/page', import.meta.url))

/** For this machine alone, on any free port. */
export const quiet: PlaygroundOptions = {
  host: '127.0.0.1',
  port: 0,
  model: 'tiny',
  pageFolder,
  limits: { jobsPerAddress: 10, jobsInAll: 50 },
}

export interface House extends Rooms {
  readonly playground: Playground
  readonly engine: SquareEngine
  readonly dataDir: string
  /** What the operator was told. */
  readonly lines: string[]
  /** Stops as the program does; the folder stays for another start. */
  stop(): Promise<void>
  /** Stops, and removes the folder. */
  clear(): Promise<void>
}

export interface HouseOptions extends Partial<PlaygroundOptions> {
  readonly waitingPerPerson?: number
}

export async function openHouse({ waitingPerPerson = 5, ...options }: HouseOptions = {}): Promise<House> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'seedling-')))
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  const jobs = await openJobStore({ dataDir })
  const pictures = await openPictureStore({ dataDir, days: 30, log })
  const engine = new SquareEngine()
  const limits = { jobsPerMinute: 1000, waitingPerPerson, waitingPerGuild: 50 }
  const queue = new JobQueue({ jobs, pictures, engine, limits, log })
  const presenter = new Presenter(queue, log)
  const commands = new Commands(queue, model, { variationStrength: 0.25, maxSize: 128 })
  const rooms: Rooms = { commands, queue, pictures, presenter, log }
  const playground = createPlayground({ ...quiet, ...options, dataDir }, rooms)
  presenter.add(playground)
  await playground.start()
  for (const job of await queue.recover()) presenter.resume(job)
  const stop = async () => {
    await playground.stop()
    await queue.close()
    await presenter.stop()
    pictures.close()
    await jobs.close()
  }
  const clear = async () => {
    await stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { ...rooms, playground, engine, dataDir, lines, stop, clear }
}
