/** Which weights these are: a SHA-256 over them, remembered for large models. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** In bytes; smaller models are hashed as fast as they are looked up, in less than a second. */
export const LARGE_MODEL = 256 * 2 ** 20

export interface ModelHashOptions {
  /** Where hashes of large models are kept; none is kept without it. */
  readonly cacheDir?: string | undefined
  /** From how many bytes on. Default: `LARGE_MODEL`. */
  readonly worthKeeping?: number
}

interface WeightFile {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/**
 * The first ten hex digits over all files of graphs and weights in order, as AUTOMATIC1111 has it of a checkpoint; names do not
 * count. With a `cacheDir`, a large model is read once, until a file's size or time changes.
 */
export async function modelHash(paths: readonly string[], options: ModelHashOptions = {}): Promise<string> {
  const { cacheDir, worthKeeping = LARGE_MODEL } = options
  const files = await Promise.all(paths.map(weightFile))
  const size = files.reduce((sum, file) => sum + file.size, 0)
  if (!cacheDir || size < worthKeeping) return hashOf(files)
  const kept = await keptHash(files, cacheDir)
  if (kept !== undefined) return kept
  const hash = await hashOf(files)
  await keep(recordOf(files, cacheDir), cacheDir, hash)
  return hash
}

/** The same where it was computed before and the files are what they were; nothing where they would have to be read. */
export async function knownModelHash(paths: readonly string[], cacheDir: string): Promise<string | undefined> {
  return keptHash(await Promise.all(paths.map(weightFile)), cacheDir)
}

async function keptHash(files: readonly WeightFile[], cacheDir: string): Promise<string | undefined> {
  const kept = await readFile(recordOf(files, cacheDir), 'utf8').catch(() => undefined)
  return kept !== undefined && /^[0-9a-f]{10}$/.test(kept) ? kept : undefined
}

function recordOf(files: readonly WeightFile[], cacheDir: string): string {
  return join(cacheDir, `model-hash-${createHash('sha256').update(JSON.stringify(files)).digest('hex')}`)
}

async function weightFile(path: string): Promise<WeightFile> {
  const { size, mtimeMs } = await stat(path)
  return { path, size, mtimeMs }
}

async function hashOf(files: readonly WeightFile[]): Promise<string> {
  const hash = createHash('sha256')
  for (const { path } of files) {
    for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(bytes as Buffer)
  }
  return hash.digest('hex').slice(0, 10)
}

/** A folder that cannot be written to costs time, not the start. */
async function keep(known: string, cacheDir: string, hash: string): Promise<void> {
  try {
    await mkdir(cacheDir, { recursive: true })
    await writeFile(`${known}.part`, hash)
    await rename(`${known}.part`, known)
  } catch {}
}
