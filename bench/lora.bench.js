/** What LoRAs as branches cost a large UNet: in a step, at opening, and when a job wants others than the one before. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rewriteLora } from '../dist/engine/graph/rewrite-lora.js'
import { writeUNet } from '../dist/engine/graph/write/unet.js'
import { LoraBranches } from '../dist/engine/models/lora-branches.js'
import { OnnxRuntimeModel } from '../dist/engine/models/onnx-runtime-model.js'
import { openPartWeights } from '../dist/engine/weights/part-weights.js'
import { comparison, remark } from './figures.js'
import { fullSizePipeline } from './full-size.js'

const ROUNDS = 7
const RANK = 16
/** Of the latents: 256×256 pixels, with guidance. */
const [ROWS, SIDE] = [2, 32]

export default async function bench() {
  const fullSize = fullSizePipeline(12)
  if ('why' in fullSize) return [remark(`LoRA, ${fullSize.why}`)]
  const folder = join(fullSize.torch, 'unet')
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  const { weights } = openPartWeights(folder)
  const source = { part: 'unet', path: folder, read: () => writeUNet(config, weights) }

  const opening = { plain: [], branches: [] }
  let plain
  let branched
  for (let round = 0; round < 3; round++) {
    await plain?.release()
    plain = await inSeries(opening.plain, () => OnnxRuntimeModel.load(source, { device: 'cpu' }))
    await branched?.release()
    branched = await inSeries(opening.branches, () =>
      OnnxRuntimeModel.load(source, { device: 'cpu' }, { lora: rewriteLora }),
    )
  }

  const branches = new LoraBranches(branched)
  const isAttention = (name) => name.includes('.attentions.')
  const loras = {
    'no LoRA': branches.feeds([]),
    [`rank ${RANK}, attention`]: branches.feeds([randomLora(branches, isAttention)]),
    [`rank ${RANK}, every layer`]: branches.feeds([randomLora(branches, () => true)]),
  }
  const feeds = stepFeeds(config)
  const steps = { plain: [], ...Object.fromEntries(Object.keys(loras).map((name) => [name, []])) }
  for (let round = 0; round <= ROUNDS; round++) {
    const series = (name) => (round === 0 ? [] : steps[name])
    await inSeries(series('plain'), () => plain.run(feeds, ['out_sample']))
    for (const [name, lora] of Object.entries(loras))
      await inSeries(series(name), () => branched.run({ ...feeds, ...lora }, ['out_sample']))
  }

  const change = []
  const lora = randomLora(branches, isAttention)
  for (let round = 0; round < 3; round++) await inSeries(change, async () => branches.feeds([lora]))
  const plainSteps = { name: 'plain graph', series: steps.plain }
  return [
    comparison(
      'opening a UNet with branches',
      opening.branches,
      { name: 'plain graph', series: opening.plain },
      'CPU s',
    ),
    comparison('  a guided step, no LoRA', steps['no LoRA'], plainSteps, 'CPU s', 1.03),
    ...Object.keys(loras)
      .slice(1)
      .map((name) => comparison(`  a guided step, ${name}`, steps[name], plainSteps, 'CPU s')),
    comparison('another LoRA for the next job', change, { name: 'opening anew', series: opening.plain }, 'CPU s', 0.1),
  ]
}

/** CPU seconds of the whole process. */
async function inSeries(series, work) {
  const before = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(before)
  series.push((user + system) / 1e6)
  return result
}

function randomLora(branches, touches) {
  const layers = branches.layers.filter(({ name }) => touches(name))
  const matrices = layers.map(({ name, inputs, outputs, kernel }) => {
    const row = kernel.reduce((size, side) => size * side, inputs)
    return [name, { rank: RANK, scale: 1, down: wave(RANK * row), up: wave(outputs * RANK) }]
  })
  return { matrices: new Map(matrices), weight: 1 }
}

function stepFeeds({ in_channels: channels = 4, cross_attention_dim: width }) {
  return {
    sample: { data: wave(ROWS * channels * SIDE * SIDE, 1.4), dims: [ROWS, channels, SIDE, SIDE] },
    timestep: { data: new Float32Array(ROWS).fill(501), dims: [ROWS] },
    encoder_hidden_states: { data: wave(ROWS * 77 * width, 1), dims: [ROWS, 77, width] },
  }
}

function wave(count, scale = 0.01) {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7) * scale)
}
