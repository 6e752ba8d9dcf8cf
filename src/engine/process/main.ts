/** The engine's process: loads the model it is told to, makes pictures one request after another, ends with its parent. */

import { setPriority } from 'node:os'
import { EngineError } from '../errors.ts'
import { type LoadedModel, loadModel } from './loaded-model.ts'
import { makeImages } from './make-images.ts'
import type { Order, Report, ReportedError } from './protocol.ts'

/** Below the bot's own process, whose event loop must turn while every core computes. */
const NICENESS = 10

/** Requests that were cancelled before or while they ran. */
const cancelled = new Map<number, AbortController>()
let model: Promise<LoadedModel> | undefined
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
    const onNotice = (message: string) => tell({ type: 'notice', message })
    model = loadModel(
      order.options,
      onNotice,
      seldom(() => tell({ type: 'loading' })),
    )
    model.then(
      ({ facts }) => tell({ type: 'loaded', model: facts }),
      (error) => tell({ type: 'notLoaded', error: reported(error) }),
    )
  } else {
    cancelled.set(order.id, new AbortController())
    work = work.then(() => generate(order))
  }
}

async function generate({ id, request, preview }: Extract<Order, { type: 'generate' }>): Promise<void> {
  const { signal } = cancelled.get(id)!
  try {
    const images = await makeImages(await model!, request, {
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
