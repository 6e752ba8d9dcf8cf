/** The engine as the bot runs it: how soon it draws, how still it keeps the bot's loop, what it holds, what it costs. */

import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { InferenceSession } from 'onnxruntime-node'
import { startEngine } from '../dist/engine/process/host.js'
import { loadModel } from '../dist/engine/process/loaded-model.js'
import { makeImages } from '../dist/engine/process/make-images.js'

const model = fileURLToPath(new URL('../models/emoji', import.meta.url))

const request = (model, seeds, numInferenceSteps = model.numInferenceSteps) => ({
  prompt: 'a red apple',
  negativePrompt: '',
  numInferenceSteps,
  guidanceScale: model.guidanceScale,
  width: model.width,
  height: model.height,
  images: seeds.map((seed) => ({ seed, variations: [] })),
  upscale: 1,
})

export default async function bench() {
  const startedAt = performance.now()
  const engine = await startEngine({ model, device: 'cpu' })
  const ready = performance.now() - startedAt
  const first = await timed(() => engine.generateImages(request(engine.model, [1])))
  const rows = [
    figure('Engine started, model loaded', ready, 'ms', 3000),
    figure('First picture after that', first, 'ms', 3000),
    figure('A picture, warm', await warmPicture(engine), 'ms'),
    figure('Four pictures, warm', await timed(() => engine.generateImages(request(engine.model, [1, 2, 3, 4]))), 'ms'),
    ...(await eventLoop(engine)),
    ...(await memory(engine)),
  ]
  await engine.stop()
  return [...rows, ...(await ownWork())]
}

async function warmPicture(engine) {
  const times = []
  for (let seed = 0; seed < 5; seed++)
    times.push(await timed(() => engine.generateImages(request(engine.model, [seed]))))
  return times.sort((a, b) => a - b)[2]
}

/** The bot's loop while the engine draws four pictures at a time, with previews, without a pause. */
async function eventLoop(engine) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const startedAt = performance.now()
  delay.enable()
  while (performance.now() - startedAt < 10_000)
    await engine.generateImages(request(engine.model, [1, 2, 3, 4]), { onProgress() {} })
  delay.disable()
  return [
    figure('Event loop held, p99, engine flat out', delay.percentile(99) / 1e6, 'ms', 50),
    figure('Event loop held, longest', delay.max / 1e6, 'ms'),
  ]
}

/** Short runs, for what grows with pictures rather than with steps. */
async function memory(engine) {
  const draw = async (from, to) => {
    for (let seed = from; seed < to; seed++) await engine.generateImages(request(engine.model, [seed], 4))
  }
  await draw(0, 20)
  const before = residentMiB(engine.pid)
  if (before === undefined) return []
  await draw(20, 220)
  const after = residentMiB(engine.pid)
  return [
    figure('Engine memory after 20 pictures', before, 'MiB'),
    figure('Growth over 200 more', after - before, 'MiB', 10),
  ]
}

function residentMiB(pid) {
  try {
    return Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024
  } catch {
    return undefined
  }
}

/** Everything that is not inside a session: text, noise, guidance, scheduler, pixels, PNG. */
async function ownWork() {
  const loaded = await loadModel({ model, device: 'cpu' }, () => {})
  const options = { signal: new AbortController().signal, preview: true, onProgress() {} }
  const draw = (seed) => makeImages(loaded, request(loaded.facts, [seed]), options)
  await draw(0)
  let inside = 0
  const { run } = InferenceSession.prototype
  InferenceSession.prototype.run = async function (...args) {
    const startedAt = performance.now()
    const result = await run.apply(this, args)
    inside += performance.now() - startedAt
    return result
  }
  const total = await timed(async () => {
    for (let seed = 1; seed <= 10; seed++) await draw(seed)
  })
  return [figure("Engine's own work around the sessions", (100 * (total - inside)) / total, '%', 5)]
}

async function timed(work) {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

function figure(name, number, unit, most) {
  const text = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`.trim()
  const row = { figure: name, value: text(number) }
  return most === undefined ? row : { ...row, target: `≤ ${text(most)}`, ok: number <= most }
}
