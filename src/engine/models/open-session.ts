/** From a graph's source and its rewrites to an open session: optimised copies, memory and devices without half precision. */

import { realpathSync } from 'node:fs'
import { InferenceSession } from 'onnxruntime-node'
import { type CacheSetting, cacheFolder } from '../cache/cache-folder.ts'
import { type Device, providerOptions } from '../devices/device.ts'
import { requireMemory } from '../devices/memory.ts'
import { lacksHalf, openError } from '../devices/session-error.ts'
import { EngineError } from '../errors.ts'
import { weightBytes } from '../graph/graph-size.ts'
import { type GraphSource, REWRITE_ORDER, type Rewrite, type RewriteName } from '../graph/graph-source.ts'
import { type EncodedGraph, encodeOnnx } from '../graph/onnx-bytes.ts'
import type { OnnxGraph } from '../graph/onnx-file.ts'
import { float32Source } from '../graph/to-float32.ts'
import { type Copied, isCopied, keepCopy, openCopy } from './optimised-copy.ts'

export interface SessionSettings {
  readonly device: Device
  /** Passed to ONNX Runtime as it stands: threads, memory arena … */
  readonly sessionOptions?: InferenceSession.SessionOptions
  /** Where optimised copies of large models are kept. */
  readonly cacheDir?: CacheSetting
  /** Told in a sentence what the person should know, such as a change to float32. */
  readonly onNotice?: (message: string) => void
}

/** By name; applied in `REWRITE_ORDER`. */
export type Rewrites = Readonly<Partial<Record<RewriteName, Rewrite>>>

export interface OpenSession {
  readonly session: InferenceSession
  /** What it was made from: in float32 where the device has no half precision. */
  readonly source: GraphSource
  /** Frees it, and what it used of the cache. */
  release(): Promise<void>
}

/** @throws EngineError 'model' for a damaged or missing file, 'device' when this device cannot run it; what a rewrite throws */
export async function openSession(
  source: GraphSource,
  rewrites: Rewrites,
  settings: SessionSettings,
): Promise<OpenSession> {
  try {
    return await openAs(source, rewrites, settings)
  } catch (error) {
    if (!lacksHalf(error)) throw error
    settings.onNotice?.(noHalf(source.part, settings.device))
    return openAs(float32Source(source), rewrites, settings)
  }
}

export function noHalf(part: string, device: Device): string {
  return `The device '${device}' has no half precision, so the ${part} runs in float32.`
}

async function openAs(source: GraphSource, rewrites: Rewrites, settings: SessionSettings): Promise<OpenSession> {
  const { part, path } = source
  const { device } = settings
  const wanted = REWRITE_ORDER.flatMap((name) => rewrites[name] ?? [])
  requireDeviceOf(wanted, part, device)
  const graph = wanted.reduce((graph, rewrite) => rewrite.apply(graph, path), source.read())
  const used = graph.entries ?? []
  try {
    const copied = toCopy(graph, settings, part)
    const copy = device === 'cpu' ? await openedCopy(copied, settings, part) : undefined
    if (copy) return opened(copy.session, source, [...used, copy.entry])
    if (device === 'cpu') requireMemory({ part, bytes: copied.bytes, ...smaller(wanted, part, copied.bytes) })
    const session = await create(copied, wanted.length === 0 ? source.exported : undefined)
    if (device === 'cpu' && isCopied(copied)) void keepCopy(copied)
    return opened(session, source, used)
  } catch (error) {
    for (const entry of used) entry.release()
    throw error instanceof EngineError ? error : openError(error, part, path, device)
  }
}

/** An export as it is needs no bytes, unless its weights lie beside it: the hub's cache keeps them behind links. */
function create({ encoded, options }: Copied, exported: string | undefined): Promise<InferenceSession> {
  const isWhole = exported !== undefined && encoded.files.every((file) => file === realpathSync(exported))
  if (!isWhole) return InferenceSession.create(encoded.bytes, options)
  const { extra, ...others } = options
  const { model_external_initializers_file_folder_path: _, ...session } = (extra?.session ?? {}) as Record<
    string,
    unknown
  >
  return InferenceSession.create(exported, { ...others, extra: { ...extra, session } })
}

function opened(session: InferenceSession, source: GraphSource, entries: readonly { release(): void }[]): OpenSession {
  return {
    session,
    source,
    async release() {
      await session.release()
      for (const entry of entries) entry.release()
    },
  }
}

function requireDeviceOf(rewrites: readonly Rewrite[], part: string, device: Device): void {
  for (const rewrite of rewrites)
    if (rewrite.device !== undefined && rewrite.device !== device)
      throw new EngineError(
        'device',
        `The ${part} is opened in a dtype that runs on device '${rewrite.device}' alone; on '${device}' use dtype 'auto' or 'fp16'.`,
      )
}

/** What would fit where this does not: eight bits, and what stays in float32. */
function smaller(wanted: readonly Rewrite[], part: string, bytes: number) {
  const isInt8 = wanted.some(({ oneRow }) => oneRow)
  return part === 'unet' && !isInt8 ? { smaller: { dtype: 'int8', bytes: bytes * 0.3 } } : {}
}

/** Everything about a session that a copy of it depends on. */
function toCopy(graph: OnnxGraph, settings: SessionSettings, part: string): Copied {
  const encoded = encodeOnnx(graph)
  const cacheDir = cacheFolder(settings.cacheDir)
  return {
    encoded,
    options: sessionOptions(settings, part, encoded),
    bytes: weightBytes(graph),
    // What lies in the cache already is not kept there twice.
    cacheDir: graph.entries ? undefined : cacheDir,
  }
}

function openedCopy(copied: Copied, { onNotice }: SessionSettings, part: string) {
  if (!isCopied(copied)) return undefined
  return openCopy(copied, (reason) =>
    onNotice?.(`The optimised copy of the ${part} is broken and is made anew (${reason}).`),
  )
}

/**
 * Threads that spin while they wait for work take the cores that Node and the other threads need: on two cores pictures
 * took up to 1.7 times as long with it, and twice that beside another busy process.
 */
const QUIET_THREADS = { intra_op: { allow_spinning: '0' } }

/**
 * A sum and the layer norm behind it would be joined in one operator, though not where the sum is given out: a text encoder
 * that shows its earlier layers would then compute its last one a little differently than before.
 */
const APART = { optimization: { disable_specified_optimizers: 'SkipLayerNormFusion' } }

function sessionOptions(
  settings: SessionSettings,
  part: string,
  { folder, memory }: EncodedGraph,
): InferenceSession.SessionOptions {
  const { session: asked, ...extra } = (settings.sessionOptions?.extra ?? {}) as { session?: object }
  return {
    ...providerOptions(settings.device),
    ...settings.sessionOptions,
    ...(memory.length > 0 && { externalData: memory }),
    extra: {
      session: {
        ...QUIET_THREADS,
        ...(folder !== undefined && { model_external_initializers_file_folder_path: folder }),
        ...asked,
      },
      ...(part.startsWith('text_encoder') && APART),
      ...extra,
    },
  }
}
