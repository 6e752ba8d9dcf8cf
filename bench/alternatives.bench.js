/** The engine beside diffusers and optimum-onnx: the same pipelines, in turns, from the smallest to a full-size UNet. */

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { InferenceSession } from 'onnxruntime-node'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'
import { comparison, figure, median, remark } from './figures.js'
import { fullSizePipeline } from './full-size.js'
import { PythonPipeline } from './python-pipeline.js'

const THREADS = availableParallelism()
/** Long enough for a clock, and for one slow moment to count for little. */
const TURN_MS = 400
/** Lets the threads that the turn before left spinning go to sleep. */
const PAUSE_MS = 300
const SEED = 1

/** A new prompt for each picture: otherwise the engine would answer from its cache, and leave the text encoder out. */
let prompts = 0
const newPrompts = (count) => Array.from({ length: count }, () => `a red apple, number ${++prompts}`)

export default async function bench() {
  const tiny = tinyPipeline()
  const rows = []
  const alternatives = []
  for (const [kind, name] of [
    ['optimum', 'optimum-onnx'],
    ['diffusers', 'diffusers'],
  ]) {
    try {
      alternatives.push({ name, kind, pipeline: await PythonPipeline.start(kind, THREADS) })
      rows.push(remark(`${name}: ${alternatives.at(-1).pipeline.versions}, ${THREADS} threads`))
    } catch (error) {
      rows.push(remark(`${name}: skipped, since SEEDLING_BENCH_PYTHON (or python3) says: ${error.message}`))
    }
  }
  const embedded = fileURLToPath(new URL('../models/emoji', import.meta.url))
  const smallest = { name: 'tiny', onnx: tiny, torch: tiny, guidanceScale: 7.5, rounds: 9 }
  rows.push(...(await measure({ ...smallest, numInferenceSteps: 10, sizes: [64, 128, 256] }, alternatives)))
  // diffusers' default: what is done once a picture weighs less.
  rows.push(...(await measure({ ...smallest, numInferenceSteps: 50, sizes: [64, 128] }, alternatives)))
  // As it is used: guidance multiplies what two programs round differently.
  const own = { numInferenceSteps: 8, guidanceScale: 1, rounds: 9 }
  rows.push(...(await measure({ ...own, name: 'embedded', onnx: embedded, sizes: [128, 256] }, alternatives)))
  const fullSize = fullSizePipeline(18)
  if ('why' in fullSize) rows.push(remark(fullSize.why))
  else {
    const few = { ...fullSize, guidanceScale: 7.5, name: 'full size' }
    rows.push(...(await measure({ ...few, numInferenceSteps: 2, rounds: 5, sizes: [256] }, alternatives)))
    rows.push(...(await measure({ ...few, numInferenceSteps: 1, rounds: 5, sizes: [512] }, alternatives)))
  }
  for (const { pipeline } of alternatives) await pipeline.stop()
  rmSync(tiny, { recursive: true })
  return rows
}

/** The tests' pipelines share one tokenizer, which lies beside them once. */
function tinyPipeline() {
  const fixtures = fileURLToPath(new URL('../tests/fixtures/pipelines/', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'seedling-bench-'))
  cpSync(join(fixtures, 'tiny-sd1'), folder, { recursive: true })
  cpSync(join(fixtures, 'clip-tokenizer'), join(folder, 'tokenizer'), { recursive: true })
  return folder
}

/** One pipeline, opened by all who can, at each of the sizes; `torch` is undefined where diffusers has no such modules. */
async function measure({ name, onnx, torch, sizes, rounds, ...numbers }, everybody) {
  const seedling = await Seedling.open(onnx)
  const alternatives = everybody.filter(({ kind }) => kind !== 'diffusers' || torch)
  for (const { kind, pipeline } of alternatives) await pipeline.load(kind === 'diffusers' ? torch : onnx)
  const rows = []
  for (const size of sizes) {
    const asked = { ...numbers, seed: SEED, width: size, height: size }
    const named = `${name}, ${size}×${size}, ${numbers.numInferenceSteps} step${numbers.numInferenceSteps > 1 ? 's' : ''}`
    process.stderr.write(`  ${named}\n`)
    rows.push(...(await takeTurns(named, asked, rounds, seedling, alternatives)))
  }
  await seedling.release()
  return rows
}

async function takeTurns(name, asked, rounds, seedling, alternatives) {
  const contenders = [{ pipeline: seedling }, ...alternatives].map((contender) => ({ ...contender, series: [] }))
  const prompt = newPrompts(1)
  for (const contender of contenders) {
    contender.pixels = (await contender.pipeline.generate({ ...asked, prompts: prompt, pixels: true })).pixels
    // The first one warmed up; the second tells how many fill a turn.
    const { ms } = await contender.pipeline.generate({ ...asked, prompts: newPrompts(1) })
    contender.count = Math.ceil(TURN_MS / ms)
  }
  // The first round is for compilers, caches and allocators to settle, everybody's.
  for (let round = -1; round < rounds; round++) {
    if (round === 0) seedling.inside = seedling.outside = 0
    for (const { pipeline, series, count } of contenders) {
      await pause(PAUSE_MS)
      const { ms } = await pipeline.generate({ ...asked, prompts: newPrompts(count) })
      if (round >= 0) series.push(ms / count)
    }
  }
  const [ours, ...others] = contenders
  const optimum = others.find(({ kind }) => kind === 'optimum')
  return [
    ...(others.length > 0 ? [] : [figure(name, median(ours.series), 'ms')]),
    ...others.map((other) => comparison(name, ours.series, other, 'ms', other === optimum ? 1 : undefined)),
    figure('  own work outside the sessions', (100 * seedling.outside) / (seedling.inside + seedling.outside), '%', 3),
    ...(optimum
      ? [figure("  off optimum-onnx's picture", largestDifference(ours.pixels, optimum.pixels), '', 1e-4)]
      : []),
  ]
}

/** The engine as a library, with a clock at its sessions. */
class Seedling {
  /** Milliseconds inside the sessions, and in everything else. */
  inside = 0
  outside = 0
  #pipeline

  static async open(folder) {
    const seedling = new Seedling()
    seedling.#pipeline = await StableDiffusionPipeline.fromPretrained(folder, {
      device: 'cpu',
      sessionOptions: { intraOpNumThreads: THREADS },
    })
    return seedling
  }

  async generate({ prompts, seed, pixels, ...numbers }) {
    const insideBefore = sessionMs
    const startedAt = performance.now()
    let images
    for (const prompt of prompts)
      ({ images } = await this.#pipeline.generate({
        prompt,
        ...numbers,
        generator: new Generator(seed),
        outputType: 'np',
      }))
    const ms = performance.now() - startedAt
    this.inside += sessionMs - insideBefore
    this.outside += ms - (sessionMs - insideBefore)
    return { ms, pixels: pixels ? images.data : undefined }
  }

  release() {
    return this.#pipeline.release()
  }
}

let sessionMs = 0
const { run } = InferenceSession.prototype
InferenceSession.prototype.run = async function (...args) {
  const startedAt = performance.now()
  try {
    return await run.apply(this, args)
  } finally {
    sessionMs += performance.now() - startedAt
  }
}

function largestDifference(ours, theirs) {
  return ours.reduce((most, value, i) => Math.max(most, Math.abs(value - theirs[i])), 0)
}
