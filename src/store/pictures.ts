/** Finished pictures as files, `pictures/<job>/<index>.png`, swept when their time is over. */

import { chmod, mkdir, open, opendir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { storeError } from './errors.ts'
import { makeFolder } from './folder.ts'
import type { PictureStore } from './store.ts'

const SWEEP_INTERVAL_MS = 6 * 3_600_000
const DAY_MS = 86_400_000

export interface PictureStoreOptions {
  /** Holds the folder `pictures`; made where it is missing. */
  readonly dataDir: string
  /** How many days a job's pictures are kept. */
  readonly days: number
  /** Told what could not be swept. */
  readonly log: (line: string) => void
}

/** Sweeps at once and then every few hours. @throws StoreError that names the folder and says what to do */
export async function openPictureStore({ dataDir, days, log }: PictureStoreOptions): Promise<FilePictureStore> {
  const folder = join(dataDir, 'pictures')
  try {
    makeFolder(folder, 0o700)
    // As an older Seedling left it: whatever lies within is then private, too.
    await chmod(folder, 0o700)
  } catch (error) {
    throw storeError(error, folder)
  }
  return new FilePictureStore(folder, days, log)
}

export class FilePictureStore implements PictureStore {
  readonly #folder: string
  readonly #days: number
  readonly #sweeping: NodeJS.Timeout

  constructor(folder: string, days: number, log: (line: string) => void) {
    this.#folder = folder
    this.#days = days
    const sweep = () => void this.sweep().catch((error: Error) => log(`pictures: ${error.message}`))
    this.#sweeping = setInterval(sweep, SWEEP_INTERVAL_MS).unref()
    sweep()
  }

  /** @throws RangeError for an id or an index that no job of ours has */
  async write(job: string, index: number, png: Uint8Array): Promise<void> {
    const file = this.#file(job, index)
    if (!file) throw new RangeError(`No picture can have the job ${JSON.stringify(job)} and the index ${index}.`)
    try {
      await mkdir(join(this.#folder, job), { recursive: true, mode: 0o700 })
      await writeAtomically(file, png)
    } catch (error) {
      throw storeError(error, this.#folder)
    }
  }

  async read(job: string, index: number): Promise<Buffer | undefined> {
    const file = this.#file(job, index)
    return file === undefined ? undefined : this.#unlessGone(() => readFile(file))
  }

  async has(job: string): Promise<boolean> {
    return isJobId(job) && (await this.#unlessGone(() => stat(join(this.#folder, job)))) !== undefined
  }

  async remove(job: string): Promise<void> {
    if (isJobId(job)) await this.#unlessGone(() => rm(join(this.#folder, job), { recursive: true, force: true }))
  }

  /** Removes the pictures of all jobs that were finished longer ago than they are kept. */
  async sweep(now = Date.now()): Promise<void> {
    for await (const { name } of await opendir(this.#folder)) {
      if (!isJobId(name)) continue
      const made = await this.#unlessGone(() => stat(join(this.#folder, name)))
      if (made && now - made.mtimeMs > this.#days * DAY_MS) await this.remove(name)
    }
  }

  async probe(): Promise<void> {
    const file = join(this.#folder, '.probe')
    try {
      await writeAtomically(file, new Uint8Array(1))
      await rm(file)
    } catch (error) {
      throw storeError(error, this.#folder)
    }
  }

  close(): void {
    clearInterval(this.#sweeping)
  }

  /** Ids come from buttons and addresses, so from anybody. */
  #file(job: string, index: number): string | undefined {
    const valid = isJobId(job) && Number.isInteger(index) && index >= 0
    return valid ? join(this.#folder, job, `${index}.png`) : undefined
  }

  async #unlessGone<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw storeError(error, this.#folder)
    }
  }
}

function isJobId(job: string): boolean {
  return /^[0-9a-f]{16}$/.test(job)
}

/** A reader sees the whole file or none, even after a power cut. The other name is always the same, so crashes leave one at most. */
async function writeAtomically(file: string, bytes: Uint8Array): Promise<void> {
  const unfinished = `${file}.tmp`
  const handle = await open(unfinished, 'w', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(unfinished, file)
}
