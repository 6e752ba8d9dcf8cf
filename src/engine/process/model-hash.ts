/** Which weights these are: a SHA-256 over them, remembered for large models. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What lies in a part's folder beside its graph and weights, or belongs to other programs. */
const NOT_WEIGHTS = /^\.|\.(json|txt|md|py|safetensors|bin|msgpack|h5|ckpt|pt)$/i

export interface ModelHashOptions {
  /** Where hashes of large models are kept; none is kept without it. */
  readonly cacheDir?: string | undefined
  /** From how many bytes on. Default: 256 MiB; smaller models are hashed as fast as they are looked up. */
  readonly worthKeeping?: number
}

interface WeightFile {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/**
 * The first ten hex digits over all graphs and weights of a pipeline's folder, by path in order; names do not count.
 * With a `cacheDir`, a large model is read once, until a file's size or time changes.
 */
export async function modelHash(folder: string, options: ModelHashOptions = {}): Promise<string> {
  const { cacheDir, worthKeeping = 256 * 2 ** 20 } = options
  const files = await weightFiles(folder)
  const size = files.reduce((sum, file) => sum + file.size, 0)
  if (!cacheDir || size < worthKeeping) return hashOf(files)
  const known = join(cacheDir, `model-hash-${createHash('sha256').update(JSON.stringify(files)).digest('hex')}`)
  const kept = await readFile(known, 'utf8').catch(() => undefined)
  if (kept !== undefined && /^[0-9a-f]{10}$/.test(kept)) return kept
  const hash = await hashOf(files)
  await keep(known, cacheDir, hash)
  return hash
}

async function weightFiles(folder: string): Promise<WeightFile[]> {
  // `.git`, `.cache`, and what is made from a model's files beside them, are not its weights.
  const parts = (await readdir(folder)).filter((part) => !part.startsWith('.')).sort()
  const files = await Promise.all(
    parts.map(async (part) => {
      const names = await readdir(join(folder, part)).catch(() => [])
      return names
        .filter((name) => !NOT_WEIGHTS.test(name))
        .sort()
        .map((name) => join(folder, part, name))
    }),
  )
  const found = await Promise.all(
    files.flat().map(async (path) => {
      // A folder in a part's folder, or a link to nothing, holds no weights that the pipeline could have opened.
      const entry = await stat(path).catch(() => undefined)
      return entry?.isFile() ? [{ path, size: entry.size, mtimeMs: entry.mtimeMs }] : []
    }),
  )
  return found.flat()
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
