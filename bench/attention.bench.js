/** The forms of attention in a full-size UNet at 512×512: what a step takes above the loaded session, and how long. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { begin, FORMS, open } from './attention-step.js'
import { comparison, figure, remark, timed } from './figures.js'
import { fullSizePipeline } from './full-size.js'
import { anonymous } from './memory.js'

const STEP = fileURLToPath(new URL('./attention-step.js', import.meta.url))
/** A step takes seconds, and holds its most for a good part of them. */
const POLL_MS = 2
const ROUNDS = 5
const SIZES = [256, 512]

export default async function bench() {
  const fullSize = fullSizePipeline(16)
  if ('why' in fullSize) return [remark(`attention, ${fullSize.why}`)]
  if (anonymous() === undefined) return [remark('attention: skipped; only Linux tells how much memory a step takes')]
  return [...(await memory(fullSize.onnx)), ...(await time(fullSize.onnx))]
}

async function memory(folder) {
  const taken = {}
  for (const form of Object.keys(FORMS)) {
    process.stderr.write(`  memory, ${form}\n`)
    taken[form] = await inItsOwnProcess(folder, form)
  }
  const { original, ...cheaper } = taken
  return [
    figure('a 512×512 step above the session, attention original', original.above, 'MiB'),
    ...Object.entries(cheaper).flatMap(([form, { above, latents }]) => [
      saved(form, above, original.above),
      figure('  off the original, of its largest number', difference(latents, original.latents), '', 1e-4),
    ]),
  ]
}

/** At least 60 % less. */
function saved(form, above, original) {
  return {
    ...figure(`  attention ${form}`, above, 'MiB'),
    alternative: `original ${Math.round(original)} MiB`,
    ratio: (above / original).toFixed(2),
    target: 'ratio ≤ 0.40',
    ok: above <= 0.4 * original,
  }
}

async function inItsOwnProcess(folder, form) {
  const child = fork(STEP, [folder, form], { execArgv: [], serialization: 'advanced' })
  child.on('exit', (code) => {
    if (code !== 0) child.emit('error', new Error(`a step in a process of its own ended with ${code}`))
  })
  const [{ loaded }] = await once(child, 'message')
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, anonymous(child.pid) ?? 0)
  }, POLL_MS)
  child.send('go on')
  const [{ latents }] = await once(child, 'message')
  clearInterval(watch)
  return { above: most - loaded, latents }
}

function difference(given, wanted) {
  let [largest, most] = [0, 0]
  for (const [i, value] of wanted.entries()) {
    largest = Math.max(largest, Math.abs(value))
    most = Math.max(most, Math.abs(value - given[i]))
  }
  return most / largest
}

/** Both sessions in one process, in turns. */
async function time(folder) {
  const original = await open(folder, 'original')
  const fused = await open(folder, 'fused')
  const rows = []
  for (const size of SIZES) {
    process.stderr.write(`  time, ${size}×${size}\n`)
    const series = { original: [], fused: [] }
    for (let round = 0; round < ROUNDS; round++) {
      for (const [form, pipeline] of Object.entries({ original, fused })) {
        await pause(300)
        const sampling = await begin(pipeline, size)
        series[form].push(await timed(() => sampling.next()))
      }
    }
    const alternative = { name: 'original', series: series.original }
    rows.push(comparison(`a ${size}×${size} step, attention fused`, series.fused, alternative, 'ms', 1))
  }
  return rows
}
