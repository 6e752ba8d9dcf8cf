/**
 * Opens a pipeline in a process of its own and tells what that took: `load-model.js OPTIONS`, forked, with JSON of
 * `{ folder, dtype, cacheDir, plain, sizes, copies }`. `plain`: the export's graphs as ONNX Runtime opens them by itself, which is what optimum does.
 * `sizes`: pictures of which a guided step is measured. `copies`: waits until optimised copies are made.
 */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'
import { copiesMade } from '../dist/engine/models/optimised-copy.js'
import { peak, resident } from './memory.js'

/** A first step allocates and touches everything. */
const STEPS = 3

const { folder, dtype = 'auto', cacheDir = null, plain, sizes = [], copies } = JSON.parse(process.argv[2])
const sessionOptions = { intraOpNumThreads: 1 }

const result = { load: 0, loadPeak: 0, steps: {}, peak: 0 }
const before = cpu()
const pipeline = plain ? await openPlainly() : await open()
result.load = cpu() - before
result.loadPeak = peak()
result.resident = resident()
for (const size of sizes) result.steps[size] = await steps(size)
result.peak = peak()
if (copies) await copiesMade()
process.send(result, () => process.exit())

function open() {
  return StableDiffusionPipeline.fromPretrained(folder, { device: 'cpu', dtype, cacheDir, sessionOptions })
}

async function openPlainly() {
  const parts = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const graphs = parts.filter(({ name }) => readdirSync(join(folder, name)).includes('model.onnx'))
  const sessions = []
  for (const { name } of graphs)
    sessions.push(await InferenceSession.create(join(folder, name, 'model.onnx'), sessionOptions))
  return sessions
}

/** CPU seconds of the fastest: what others do on the machine only adds. */
async function steps(size) {
  const sampling = await pipeline.begin({
    prompt: 'a red apple',
    width: size,
    height: size,
    numInferenceSteps: STEPS,
    guidanceScale: 7.5,
    generator: new Generator(1),
    outputType: 'latent',
  })
  const seconds = []
  for (let step = 0; step < STEPS; step++) {
    const before = cpu()
    await sampling.next()
    seconds.push(cpu() - before)
  }
  return Math.min(...seconds)
}

function cpu() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
