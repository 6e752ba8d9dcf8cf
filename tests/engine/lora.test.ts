import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { compare, ON_CPU, readNpy, tinyPipeline } from './tiny-pipeline.ts'

const FOLDER = fileURLToPath(new URL('../fixtures/lora/', import.meta.url))

interface Case {
  name: string
  model: string
  loras: string[]
  weights?: (number | { unet?: number; text_encoder?: number })[]
  scale?: number
}

const golden = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as { seed: number; cases: Case[] }

const args = () => ({
  prompt: 'a cat',
  negativePrompt: 'red',
  height: 32,
  width: 32,
  numInferenceSteps: 3,
  outputType: 'np' as const,
  generator: new Generator(golden.seed),
})

const file = (name: string) => join(FOLDER, name)

describe.each(['tiny-sd1', 'tiny-sdxl'])('%s agrees with diffusers and peft', (model) => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline(model), ON_CPU)
  })

  it.each(golden.cases.filter((one) => one.model === model))('$name', async ({ name, loras, weights, scale }) => {
    for (const lora of loras) await pipe.loadLoraWeights(file(lora), { adapterName: lora.replace(/\.\w+$/, '') })
    if (weights)
      pipe.setAdapters(
        loras.map((lora) => lora.replace(/\.\w+$/, '')),
        weights.map((weight) =>
          typeof weight === 'number'
            ? weight
            : {
                ...(weight.unet !== undefined && { unet: weight.unet }),
                ...(weight.text_encoder !== undefined && { textEncoder: weight.text_encoder }),
              },
        ),
      )
    const { images } = await pipe.generate({
      ...args(),
      ...(scale !== undefined && { crossAttentionKwargs: { scale } }),
    })
    pipe.unloadLoraWeights()
    const wanted = readNpy(file(`${name}.npy`))
    expect(compare(images, { ...wanted, dims: [1, ...wanted.dims] }).difference).toBeLessThan(1e-4)
  })
})
