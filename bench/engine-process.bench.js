/** The embedded model as the engine's process draws with it: how long a picture takes, and what of that is no session's. */

import { fileURLToPath } from 'node:url'
import { InferenceSession } from 'onnxruntime-node'
import { loadModel } from '../dist/engine/process/loaded-model.js'
import { makeImages } from '../dist/engine/process/make-images.js'
import { figure, median, timed } from './figures.js'

const MODEL = fileURLToPath(new URL('../models/emoji', import.meta.url))
const PICTURES = 20

/** Text, noise, guidance, scheduler, previews, pixels, PNG: everything that a picture in a chat takes. */
export default async function bench() {
  const loaded = await loadModel({ model: MODEL, device: 'cpu' }, () => {})
  const options = { signal: new AbortController().signal, preview: true, onProgress() {} }
  const draw = (...seeds) => makeImages(loaded, request(loaded.facts, seeds), options)
  await draw(0)
  let inside = 0
  const { run } = InferenceSession.prototype
  InferenceSession.prototype.run = async function (...args) {
    const startedAt = performance.now()
    const result = await run.apply(this, args)
    inside += performance.now() - startedAt
    return result
  }
  const times = []
  for (let seed = 1; seed <= PICTURES; seed++) times.push(await timed(() => draw(seed)))
  const total = times.reduce((sum, ms) => sum + ms, 0)
  const own = (100 * (total - inside)) / total
  return [
    figure('embedded model: a picture as a chat gets it', median(times), 'ms'),
    figure('  own work outside the sessions', own, '%', 5),
    figure('  four pictures', await timed(() => draw(1, 2, 3, 4)), 'ms'),
  ]
}

function request({ numInferenceSteps, guidanceScale, width, height }, seeds) {
  return {
    prompt: 'a red apple',
    negativePrompt: '',
    numInferenceSteps,
    guidanceScale,
    width,
    height,
    images: seeds.map((seed) => ({ seed, variations: [] })),
    upscale: 1,
    transparent: false,
  }
}
