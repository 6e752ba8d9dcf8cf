/**
 * One guided 512×512 step of a large pipeline, in a process of its own: `attention-step.js FOLDER FORM`, forked, tells when its
 * session is loaded, waits for an answer, and tells the step's latents.
 */

import { once } from 'node:events'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'
import { anonymous } from './memory.js'

/** How each form is asked for. */
export const FORMS = {
  original: (pipeline) => pipeline.disableAttentionSlicing(),
  "sliced, 'max'": (pipeline) => pipeline.enableAttentionSlicing('max'),
  fused: (pipeline) => pipeline.enableMemoryEfficientAttention(),
}

/** @param {number} size Of the picture, in pixels. */
export function begin(pipeline, size) {
  return pipeline.begin({
    prompt: 'a red apple',
    width: size,
    height: size,
    numInferenceSteps: 1,
    guidanceScale: 7.5,
    generator: new Generator(1),
    outputType: 'latent',
  })
}

/** @param {keyof typeof FORMS} form */
export async function open(folder, form) {
  const pipeline = await StableDiffusionPipeline.fromPretrained(folder, { device: 'cpu', cacheDir: null })
  FORMS[form](pipeline)
  // A small step puts the session in place and touches every weight, so that neither counts for the large one.
  await (await begin(pipeline, 64)).next()
  return pipeline
}

async function main([folder, form]) {
  const sampling = await begin(await open(folder, form), 512)
  // What is read from now on is the step's; the answer lets it begin.
  process.send({ loaded: anonymous() })
  await once(process, 'message')
  await sampling.next()
  process.send({ latents: [...sampling.latents.data] })
  process.disconnect()
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2))
