/**
 * Copies of large models as ONNX Runtime runs them on this CPU: optimised, half precision widened, weights arranged for its
 * kernels. One is opened by mapping its file, in a fraction of the time and of the memory that the model itself takes.
 */

import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { env, InferenceSession } from 'onnxruntime-node'
import {
  beginEntry,
  type CacheEntry,
  type Draft,
  dropEntry,
  entryKey,
  fileIdentity,
  openEntry,
} from '../cache/cache-entries.ts'
import { cpuFlags } from '../devices/cpu-flags.ts'
import { availableMemory } from '../devices/memory.ts'
import type { EncodedGraph } from '../graph/onnx-bytes.ts'

/** Below, a model is open before a copy of it would be. */
const LEAST_BYTES = 256e6

/** Arranged weights take up to a third more than the plain ones. */
const ARRANGED = 1.35

/** What the making of a copy takes, beside the weights. */
const MAKING = 1.1

const GRAPH_FILE = 'model.onnx'

/** What is to be opened. */
export interface Copied {
  readonly encoded: EncodedGraph
  /** What the session is made with, its folder of weights among it. */
  readonly options: InferenceSession.SessionOptions
  /** Of its weights in memory. */
  readonly bytes: number
  /** Nothing where no copy is kept. */
  readonly cacheDir: string | undefined
}

/** Whether a copy of it is worth keeping, and may be kept. */
export function isCopied(copied: Copied): copied is Copied & { readonly cacheDir: string } {
  return copied.cacheDir !== undefined && copied.bytes >= LEAST_BYTES && !copied.options.optimizedModelFilePath
}

export interface OpenedCopy {
  readonly session: InferenceSession
  readonly entry: CacheEntry
}

/**
 * A session of the kept copy; nothing where there is none, or it is broken: that one is taken away. ONNX Runtime checks that
 * its file is as long as its weights need.
 */
export async function openCopy(
  copied: Copied & { readonly cacheDir: string },
  onBroken: (reason: string) => void,
): Promise<OpenedCopy | undefined> {
  const { cacheDir, options } = copied
  const key = keyOf(copied)
  const entry = openEntry(cacheDir, key)
  if (!entry) return undefined
  try {
    const folder = realpathSync(entry.path)
    const own = withSessionConfig(options, { model_external_initializers_file_folder_path: folder })
    return { session: await InferenceSession.create(join(folder, GRAPH_FILE), own), entry }
  } catch (error) {
    entry.release()
    dropEntry(cacheDir, key)
    onBroken(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/**
 * A copy is made in a process of its own after the model was opened, so that the first start takes no longer than without;
 * where memory has no room for the model twice, none is made. Never rejects.
 */
export function keepCopy(copied: Copied & { readonly cacheDir: string }): Promise<void> {
  const made = making.then(() => make(copied)).catch(() => {})
  making = made
  return made
}

/** Fulfils when every copy that was begun is there, or was given up; the program does not end before. */
export function copiesMade(): Promise<void> {
  const held = setInterval(() => {}, 60_000)
  return making.finally(() => clearInterval(held))
}

/** One after another: each takes the memory of its model. */
let making: Promise<void> = Promise.resolve()

async function make(copied: Copied & { readonly cacheDir: string }): Promise<void> {
  if (availableMemory() < copied.bytes * MAKING) return
  const { cacheDir, bytes } = copied
  const key = keyOf(copied)
  const there = openEntry(cacheDir, key)
  there?.release()
  const draft = there ? undefined : beginEntry(cacheDir, key, bytes * ARRANGED)
  if (!draft) return
  try {
    await makeIn(draft, copied)
  } catch {
    return draft.discard()
  }
  draft.keep()?.release()
}

/** What the process that makes a copy is told. */
export interface CopyOrder {
  readonly bytes: Uint8Array
  readonly options: InferenceSession.SessionOptions
}

function makeIn(draft: Draft, { encoded, options }: Copied): Promise<void> {
  const saved = {
    ...withSessionConfig(options, {
      optimized_model_external_initializers_file_name: 'weights.bin',
      optimized_model_external_initializers_min_size_in_bytes: '1024',
      save_external_prepacked_constant_initializers: '1',
    }),
    intraOpNumThreads: 1,
    optimizedModelFilePath: join(realpathSync(draft.path), GRAPH_FILE),
  }
  const child = fork(fileURLToPath(new URL('./make-copy.js', import.meta.url)), {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  // A program that has nothing else to do ends, and with it what it has begun here.
  child.unref()
  child.channel?.unref()
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`it ended with ${code}`))))
    child.send({ bytes: encoded.bytes, options: saved } satisfies CopyOrder, () => {})
  })
}

function withSessionConfig(options: InferenceSession.SessionOptions, more: Readonly<Record<string, string>>) {
  const { session, ...extra } = (options.extra ?? {}) as { session?: object }
  return { ...options, extra: { ...extra, session: { ...session, ...more } } }
}

/** Changes when a copy of the same would be another. */
const VERSION = '1'

function keyOf({ encoded, options }: Copied): string {
  const { graphOptimizationLevel, freeDimensionOverrides, executionProviders, extra } = options
  const heeded = { graphOptimizationLevel, freeDimensionOverrides, executionProviders, extra }
  const identities = encoded.files.map(fileIdentity)
  const versions = [VERSION, ...Object.values(env.versions)].join()
  return entryKey('optimised', versions, processor(), JSON.stringify(heeded), ...identities, encoded.bytes)
}

/** What ONNX Runtime picks its kernels and layouts by. */
function processor(): string {
  const model = `${process.arch} ${cpus()[0]?.model}`
  const flags = cpuFlags()
  return flags === undefined ? model : `${model} ${createHash('sha256').update(flags).digest('hex')}`
}
