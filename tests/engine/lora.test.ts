import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type AdapterWeight,
  type GenerateArguments,
  Generator,
  StableDiffusionPipeline,
  type Tensor,
} from '../../src/engine/index.ts'
import { singleFileTensors, tinyFile, tinyFolder } from './tiny-checkpoint.ts'
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

/** The tiny models, as an export to ONNX, as PyTorch's folder, as one file in the original layout. */
const MODELS: readonly (readonly [form: string, cases: string, path: () => string])[] = [
  ['tiny-sd1', 'tiny-sd1', () => tinyPipeline('tiny-sd1')],
  ['tiny-sdxl', 'tiny-sdxl', () => tinyPipeline('tiny-sdxl')],
  ['SD 1’s folder', 'checkpoint-sd1', () => tinyFolder('sd1')],
  ['SD 1’s file', 'checkpoint-sd1', () => tinyFile(singleFileTensors('sd1'))],
  ['SDXL’s folder', 'checkpoint-sdxl', () => tinyFolder('sdxl')],
  ['SDXL’s file', 'checkpoint-sdxl', () => tinyFile(singleFileTensors('sdxl'))],
]

describe.each(MODELS)('%s agrees with diffusers and peft', (_form, model, path) => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(path(), ON_CPU)
  })

  it.each(golden.cases.filter((one) => one.model === model))('$name', async (one) => {
    expectImages(await drawn(pipe, one), one.name)
    pipe.unloadLoraWeights()
    pipe.unloadTextualInversion()
  })
})

describe('LoRAs in use', () => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await opened('tiny-sd1')
  })
  const draw = async (more: Partial<GenerateArguments<'np'>> = {}) =>
    (await pipe.generate({ ...args(), ...more })).images
  const kohya = { name: 'kohya' }

  it('the same matrices under other names make the same picture', async () => {
    await pipe.loadLoraWeights(file('peft.safetensors'))
    const wanted = await draw()
    pipe.unloadLoraWeights()
    await pipe.loadLoraWeights(file('base-model.safetensors'))
    expect((await draw()).data).toEqual(wanted.data)
    pipe.unloadLoraWeights()
  })

  it('without one, or with a weight of 0, the picture is the plain one, bit for bit', async () => {
    const plain = await (await opened('tiny-sd1')).generate(args())
    await pipe.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' })
    const loaded = await draw()
    expect(loaded.data).not.toEqual(plain.images.data)
    expect((await draw({ adapters: [] })).data).toEqual(plain.images.data)
    expect((await draw({ adapters: [{ ...kohya, weight: 0 }] })).data).toEqual(plain.images.data)
    expect((await draw({ crossAttentionKwargs: { scale: 0 } })).data).toEqual(plain.images.data)
    pipe.disableLora()
    expect((await draw()).data).toEqual(plain.images.data)
    expect((await draw({ adapters: [kohya] })).data).toEqual(loaded.data)
    pipe.enableLora()
    expect((await draw()).data).toEqual(loaded.data)
    pipe.setAdapters([])
    expect((await draw()).data).toEqual(plain.images.data)
    pipe.setAdapters('kohya')
    pipe.unloadLoraWeights()
    expect((await draw()).data).toEqual(plain.images.data)
  })

  it('the last one loaded is used alone; lists tell what is there, and where it goes', async () => {
    expect(await pipe.loadLoraWeights(file('kohya.safetensors'))).toBe('default_0')
    expect(await pipe.loadLoraWeights(file('locon.safetensors'), { adapterName: 'locon' })).toBe('locon')
    expect(pipe.getActiveAdapters()).toEqual(['locon'])
    expect(pipe.getListAdapters()).toEqual({ unet: ['default_0', 'locon'], textEncoder: ['default_0'] })
    pipe.setAdapters(['default_0', 'locon'], [0.5, 2])
    pipe.deleteAdapters('locon')
    expect(pipe.getActiveAdapters()).toEqual(['default_0'])
    expect(pipe.getListAdapters()).toEqual({ unet: ['default_0'], textEncoder: ['default_0'] })
    pipe.unloadLoraWeights()
    expect(pipe.getListAdapters()).toEqual({})
  })

  it('samplings in turn, each with LoRAs of its own, do not disturb each other', async () => {
    for (const name of ['kohya', 'peft', 'locon'])
      await pipe.loadLoraWeights(file(`${name}.safetensors`), { adapterName: name })
    const selections = [
      [{ name: 'kohya', weight: 0.7 }],
      [],
      [{ name: 'peft', weight: { unet: -0.5 } }, { name: 'locon' }],
    ]
    const alone = []
    for (const adapters of selections) alone.push((await draw({ adapters })).data)
    const samplings = []
    for (const adapters of selections) samplings.push(await pipe.begin({ ...args(), adapters }))
    pipe.unloadLoraWeights()
    for (let step = 0; step < args().numInferenceSteps; step++)
      await Promise.all(samplings.map((sampling) => (sampling.done ? undefined : sampling.next())))
    const together = []
    for (const sampling of samplings) {
      while (!sampling.done) await sampling.next()
      together.push((await sampling.finish()).images.data)
    }
    expect(together).toEqual(alone)
  })

  it('one named twice counts twice', async () => {
    await pipe.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' })
    const twice = await draw({
      adapters: [
        { ...kohya, weight: 0.25 },
        { ...kohya, weight: 0.5 },
      ],
    })
    const once = await draw({ adapters: [{ ...kohya, weight: 0.75 }] })
    expect(compare(twice, once).difference).toBeLessThan(1e-4)
    pipe.unloadLoraWeights()
  })

  it('attention may be fused or sliced, rows may go one at a time, models may be freed', async () => {
    await pipe.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' })
    const wanted = await draw()
    pipe.enableMemoryEfficientAttention()
    expect(compare(await draw(), wanted).difference).toBeLessThan(1e-4)
    pipe.enableAttentionSlicing('max')
    expect(compare(await draw(), wanted).difference).toBeLessThan(1e-4)
    pipe.disableAttentionSlicing()
    pipe.enableGuidanceSlicing()
    expect(compare(await draw(), wanted).difference).toBeLessThan(1e-4)
    pipe.disableGuidanceSlicing()
    await pipe.release()
    expect((await draw()).data).toEqual(wanted.data)
    pipe.unloadLoraWeights()
  })

  it('the text encoder’s earlier layers have it too', async () => {
    const plain = await draw({ clipSkip: 1 })
    await pipe.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' })
    const textAlone = [{ ...kohya, weight: { unet: 0 } }]
    expect(compare(await draw({ clipSkip: 1, adapters: textAlone }), plain).difference).toBeGreaterThan(1e-3)
    expect((await draw({ clipSkip: 1, adapters: [] })).data).toEqual(plain.data)
    pipe.unloadLoraWeights()
  })

  it('names and weights that cannot be are named', async () => {
    await pipe.loadLoraWeights(file('kohya.safetensors'), { adapterName: 'kohya' })
    await expect(pipe.loadLoraWeights(file('peft.safetensors'), { adapterName: 'kohya' })).rejects.toThrow(
      "The adapter name 'kohya' is in use already",
    )
    expect(() => pipe.setAdapters(['kohya', 'kohia'])).toThrow("No adapter 'kohia' is loaded ('kohya')")
    expect(() => pipe.setAdapters('kohya', Number.NaN)).toThrow('`weight` has to be a number')
    expect(() => pipe.setAdapters(['kohya'], [1, 2])).toThrow('a list of 1')
    expect(() => pipe.setAdapters('kohya', { vae: 1 } as never)).toThrow('unet, textEncoder, textEncoder2')
    await expect(draw({ adapters: [{ name: 'pixel' }] })).rejects.toThrow("No adapter 'pixel' is loaded")
    await expect(draw({ crossAttentionKwargs: { scal: 1 } as never })).rejects.toThrow('{ scale } alone')
    await expect(draw({ crossAttentionKwargs: { scale: Number.POSITIVE_INFINITY } })).rejects.toThrow('a finite number')
    pipe.unloadLoraWeights()
  })
})
