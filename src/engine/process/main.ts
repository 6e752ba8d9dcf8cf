/** The engine's process: loads the model it is told to, makes pictures one request after another, ends with its parent. */

import { setPriority } from 'node:os'
import { availableMemory } from '../devices/memory.ts'
import { EngineError } from '../errors.ts'
import type { Model } from './engine.ts'
import { type LoadedModel, loadModel } from './loaded-model.ts'
import { makeImages } from './make-images.ts'
import { ModelCatalog } from './model-catalog.ts'
import { OpenModels } from './open-models.ts'
import type { LoadOptions, Order, Report, ReportedError } from './protocol.ts'

/** Below the bot's own process, whose event loop must turn while every core computes. */
const NICENESS = 10

/** Requests that were cancelled before or while they ran. */
const cancelled = new Map<number, AbortController>()
let models: Promise<Models> | undefined
let work = Promise.resolve()

// Threads take the priority of the thread that starts them, so this comes before ONNX Runtime starts any.
try {
  setPriority(NICENESS)
} catch {
  // A sandbox may forbid it; the engine is the same, only less polite.
}
// The parent ended, however it ended. ONNX Runtime holds the loop while it computes, so this is heard at the next step.
process.on('disconnect', () => process.exit())
// A terminal and systemd signal the whole group; when to stop is for the parent to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('message', (order) => obey(order as Order))

function obey(order: Order): void {
  if (order.type === 'cancel') {
    cancelled.get(order.id)?.abort()
  } else if (order.type === 'load') {
    models = start(order.options)
    models.then(
      ({ catalog, own }) => tell({ type: 'loaded', catalog: catalog.catalog(own) }),
      (error) => tell({ type: 'notLoaded', error: reported(error) }),
    )
  } else {
    cancelled.set(order.id, new AbortController())
    work = work.then(() => generate(order))
  }
}

/** Every model that may be asked for, and those that are open. */
interface Models {
  readonly catalog: ModelCatalog
  readonly open: OpenModels<LoadedModel>
  /** The model that the engine was started for. */
  readonly own: Model
}

async function start(options: LoadOptions): Promise<Models> {
  const onNotice = (message: string) => tell({ type: 'notice', message })
  const onSign = seldom(() => tell({ type: 'loading' }))
  const catalog = new ModelCatalog(options, onNotice)
  await catalog.read()
  const own = catalog.own
  const pathOf = (name: string) => (name === own.name ? own.path : catalog.pathOf(name))
  const open = new OpenModels<LoadedModel>({
    memory: options.modelMemory ?? availableMemory() / 2,
    load: (name) => {
      const path = pathOf(name)
      const own = { ...options, vae: catalog.vaeFor(path), loras: catalog.hasLoras }
      return loadModel(name, path, own, onNotice, onSign)
    },
    bytesOf: (name) => catalog.bytesOf(name),
  })
  const { facts } = await open.get(own.name)
  return { catalog, open, own: facts }
}

/** The model, opened if need be, which is told. */
async function modelOf(name: string | undefined, id: number): Promise<LoadedModel> {
  const { catalog, open, own } = await models!
  if (await catalog.read()) tell({ type: 'catalog', catalog: catalog.catalog(own) })
  const wanted = name ?? own.name
  if (open.has(wanted)) return open.get(wanted)
  tell({ type: 'progress', id, progress: { opening: wanted, step: 0, steps: 0 } })
  const since = performance.now()
  const model = await open.get(wanted).finally(() => tell({ type: 'open', models: open.names }))
  catalog.learned(wanted, model.facts)
  tell({ type: 'opened', model: wanted, seconds: (performance.now() - since) / 1000 })
  tell({ type: 'catalog', catalog: catalog.catalog(own) })
  tell({ type: 'progress', id, progress: { step: 0, steps: 0 } })
  return model
}

async function generate({ id, request, preview }: Extract<Order, { type: 'generate' }>): Promise<void> {
  const { signal } = cancelled.get(id)!
  try {
    const { catalog } = await models!
    const images = await makeImages(await modelOf(request.model, id), request, {
      files: catalog.files,
      signal,
      preview,
      onProgress: (progress) => tell({ type: 'progress', id, progress }),
    })
    tell({ type: 'done', id, images })
  } catch (error) {
    tell(signal.aborted ? { type: 'cancelled', id } : { type: 'failed', id, error: reported(error) })
  } finally {
    cancelled.delete(id)
  }
}

/** At most once a second: a download tells of every piece. */
function seldom(act: () => void): () => void {
  let actedAt = Number.NEGATIVE_INFINITY
  return () => {
    if (performance.now() - actedAt < 1000) return
    actedAt = performance.now()
    act()
  }
}

function tell(report: Report): void {
  // Where nobody hears any more, `disconnect` ends the process.
  process.send!(report, undefined, undefined, () => {})
}

/** What is no EngineError is a mistake of ours: its stack goes to the log, and the process goes on. */
function reported(error: unknown): ReportedError {
  if (error instanceof EngineError) return { code: error.code, message: error.message }
  console.error(error)
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'crashed', message: `The engine failed (${message}); please report this with the log.` }
}
