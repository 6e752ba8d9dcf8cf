import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { type AdapterWeight, Generator, StableDiffusionPipeline, type Tensor } from '../../src/engine/index.ts'
import { compare, ON_CPU, readNpy, tinyPipeline } from './tiny-pipeline.ts'

const FOLDER = fileURLToPath(new URL('../fixtures/lora/', import.meta.url))

interface Case {
  name: string
  model: string
  prompt?: string
  loras: string[]
  weights?: (number | { unet?: number; text_encoder?: number })[]
  scale?: number
  inversions?: [file: string, word: string | null][]
}

const golden = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as { seed: number; cases: Case[] }

const args = (prompt = 'a cat') => ({
  prompt,
  negativePrompt: 'red',
  height: 32,
  width: 32,
  numInferenceSteps: 3,
  outputType: 'np' as const,
  generator: new Generator(golden.seed),
})

const file = (name: string) => join(FOLDER, name)
const nameOf = (path: string) => path.replace(/\.\w+$/, '')
const opened = (model: string) => StableDiffusionPipeline.fromPretrained(tinyPipeline(model), ON_CPU)

function expectImages(images: Tensor, name: string): void {
  const wanted = readNpy(file(`${name}.npy`))
  expect(compare(images, wanted).difference).toBeLessThan(1e-4)
}

function asGiven(weight: NonNullable<Case['weights']>[number]): AdapterWeight {
  if (typeof weight === 'number') return weight
  const { unet, text_encoder: textEncoder } = weight
  return { ...(unet !== undefined && { unet }), ...(textEncoder !== undefined && { textEncoder }) }
}

async function drawn(pipe: StableDiffusionPipeline, { loras, weights, scale, inversions = [], prompt }: Case) {
  for (const lora of loras) await pipe.loadLoraWeights(file(lora), { adapterName: nameOf(lora) })
  if (weights) pipe.setAdapters(loras.map(nameOf), weights.map(asGiven))
  for (const [path, token] of inversions) await pipe.loadTextualInversion(file(path), token === null ? {} : { token })
  return (await pipe.generate({ ...args(prompt), ...(scale !== undefined && { crossAttentionKwargs: { scale } }) }))
    .images
}

describe.each(['tiny-sd1', 'tiny-sdxl'])('%s agrees with diffusers and peft', (model) => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await opened(model)
  })

  it.each(golden.cases.filter((one) => one.model === model))('$name', async (one) => {
    expectImages(await drawn(pipe, one), one.name)
    pipe.unloadLoraWeights()
    pipe.unloadTextualInversion()
  })
})
