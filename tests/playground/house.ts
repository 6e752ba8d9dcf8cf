/** A playground that runs, with the real queue and stores in a folder of its own, and an engine that tests lead. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createPlayground, type Playground, type PlaygroundOptions } from '../../src/bot/playground/index.ts'
import type { Rooms } from '../../src/bot/rooms.ts'
import { openProgram } from '../../src/program.ts'
import { openJobStore } from '../../src/store/jobs.ts'
import { openPictureStore } from '../../src/store/pictures.ts'
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
  const program = await openProgram({
    openJobs: () => openJobStore({ dataDir }),
    openPictures: () => openPictureStore({ dataDir, days: 30, log }),
    startEngine: async () => new SquareEngine(),
    limits: { jobsPerMinute: 1000, waitingPerPerson, waitingPerGuild: 50 },
    variationStrength: 0.25,
    log,
  })
  const { rooms } = program
  const playground = createPlayground({ ...quiet, ...options, dataDir }, rooms)
  program.add(playground)
  await program.start(playground)
  const stop = () => program.stop()
  const clear = async () => {
    await stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { ...rooms, playground, engine: program.engine as SquareEngine, dataDir, lines, stop, clear }
}
