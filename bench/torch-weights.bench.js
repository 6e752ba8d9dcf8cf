/**
 * A full-size pipeline from PyTorch's files, with graphs written around the weights, beside optimum's export of the same
 * weights: opening, opening again from the optimised copy, a guided step; and all that in int8.
 */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'
import { comparison, figure, remark } from './figures.js'
import { fullSizePipeline } from './full-size.js'

const LOAD = fileURLToPath(new URL('./load-model.js', import.meta.url))
const EMBEDDED = fileURLToPath(new URL('../models/emoji', import.meta.url))
const ROUNDS = 3
const PROMPTS = ['a red apple', 'a cat and a dog', 'two yellow stars on a sky blue background', 'a fox wearing a crown']

export default async function bench() {
  const fullSize = fullSizePipeline(12)
  if ('why' in fullSize) return [remark(`PyTorch's weights, ${fullSize.why}`), ...(await likeness())]
  const cacheDir = mkdtempSync(join(tmpdir(), 'seedling-bench-'))
  try {
    return [...(await fullSizeRows(fullSize, cacheDir)), ...(await likeness())]
  } finally {
    rmSync(cacheDir, { recursive: true })
  }
}

async function fullSizeRows({ onnx, torch }, cacheDir) {
  const kinds = {
    plain: { folder: onnx, plain: true },
    exported: { folder: onnx, sizes: [256] },
    written: { folder: torch, sizes: [256, 512] },
    again: { folder: torch, cacheDir, sizes: [256] },
    int8: { folder: torch, cacheDir, dtype: 'int8', sizes: [256, 512] },
  }
  // What the later ones find in the cache.
  const first = {
    copy: await inItsOwnProcess({ ...kinds.again, sizes: [], copies: true }),
    int8: await inItsOwnProcess({ ...kinds.int8, sizes: [] }),
  }
  const taken = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]))
  for (let round = 0; round < ROUNDS; round++)
    for (const [kind, options] of Object.entries(kinds)) {
      process.stderr.write(`  ${kind}\n`)
      taken[kind].push(await inItsOwnProcess(options))
    }
  const of = (kind, value) => taken[kind].map(value)
  const compared = (name, unit, most, [ours, value], [other, theirs, otherValue = value]) =>
    comparison(name, of(ours, value), { name: other, series: of(theirs, otherValue) }, unit, most)
  const load = ({ load }) => load
  const loadPeak = ({ loadPeak }) => loadPeak
  const step =
    (size) =>
    ({ steps }) =>
      steps[size]
  const export_ = ["optimum's export", 'plain']
  return [
    compared("PyTorch's weights: opening", 'CPU s', 0.6, ['written', load], export_),
    compared('  the most that it takes meanwhile', 'MiB', 0.75, ['written', loadPeak], export_),
    compared('  opening again, from the optimised copy', 'CPU s', 0.35, ['again', load], export_),
    compared('    the most that it takes meanwhile', 'MiB', undefined, ['again', loadPeak], export_),
    compared('  a guided step, 256×256', 'CPU s', 1, ['written', step(256)], ["optimum's export", 'exported']),
    compared('    from the optimised copy', 'CPU s', undefined, ['again', step(256)], ['written', 'written']),
    figure('int8: opening for the first time', first.int8.load, 'CPU s'),
    compared('  opening again', 'CPU s', undefined, ['int8', load], export_),
    compared('  a guided step, 256×256', 'CPU s', 0.5, ['int8', step(256)], ['fp32', 'written']),
    compared('  a guided step, 512×512', 'CPU s', 0.55, ['int8', step(512)], ['fp32', 'written']),
    compared('  the most that it takes', 'MiB', 0.34, ['int8', ({ peak }) => peak], ['fp32', 'written']),
  ]
}

async function inItsOwnProcess(options) {
  const child = fork(LOAD, [JSON.stringify(options)], { execArgv: [] })
  child.on('exit', (code) => {
    if (code !== 0) child.emit('error', new Error(`opening in a process of its own ended with ${code}`))
  })
  const [result] = await once(child, 'message')
  return result
}

/** The embedded model's pictures, whose weights are real. */
async function likeness() {
  const options = { device: 'cpu', cacheDir: null }
  const pipelines = {
    fp32: await StableDiffusionPipeline.fromPretrained(EMBEDDED, options),
    int8: await StableDiffusionPipeline.fromPretrained(EMBEDDED, { ...options, dtype: 'int8' }),
  }
  const draw = async (dtype, prompt) => {
    const { images } = await pipelines[dtype].generate({ prompt, generator: new Generator(1), outputType: 'np' })
    return images.data
  }
  let least = Number.POSITIVE_INFINITY
  for (const prompt of PROMPTS) {
    const [wanted, given] = [await draw('fp32', prompt), await draw('int8', prompt)]
    const square = wanted.reduce((sum, value, i) => sum + (value - given[i]) ** 2, 0) / wanted.length
    least = Math.min(least, -10 * Math.log10(square))
  }
  return [
    {
      ...figure('int8: the embedded model to its fp32 pictures, at least', least, 'dB'),
      target: '≥ 40 dB',
      ok: least >= 40,
    },
  ]
}
