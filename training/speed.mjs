// How long one picture and four take through Seedling's engine, as JSON: node speed.mjs MODEL_FOLDER. Needs `npm run build` at the root.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'

const REPEATS = 5
const folder = process.argv[2]
const defaults = JSON.parse(readFileSync(join(folder, 'generation_config.json'), 'utf8'))
const settings = { numInferenceSteps: defaults.num_inference_steps, guidanceScale: defaults.guidance_scale, height: defaults.height, width: defaults.width }
const pipe = await StableDiffusionPipeline.fromPretrained(folder, { device: 'cpu' })

/** The median of a few runs, in seconds; a new prompt each time, so that no text embedding is kept from before. */
async function seconds(count) {
  const taken = []
  for (let run = 0; run < REPEATS; run++) {
    const start = performance.now()
    await pipe.generate({ prompt: `a penguin number ${count * 100 + run}`, numImagesPerPrompt: count, generator: new Generator(run), ...settings })
    taken.push((performance.now() - start) / 1000)
  }
  return taken.sort((a, b) => a - b)[Math.floor(REPEATS / 2)]
}

await seconds(1)
console.log(JSON.stringify({ one: await seconds(1), four: await seconds(4) }))
