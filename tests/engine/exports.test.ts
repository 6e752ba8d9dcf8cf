import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { type Dtype, Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { chooseGraph } from '../../src/engine/models/graph-choice.ts'
import { compare, FIXTURES, ON_CPU, tinyPipeline } from './tiny-pipeline.ts'

const GRAPHS = fileURLToPath(new URL('../fixtures/graphs/', import.meta.url))

const open = (folder: string) => StableDiffusionPipeline.fromPretrained(folder, ON_CPU)

describe('exports of every kind', () => {
  it('a fixed batch is run in as many calls as it takes', async () => {
    const folder = tinyPipeline('tiny-sd1')
    copyFileSync(join(GRAPHS, 'unet-fixed-batch.onnx'), join(folder, 'unet', 'model.onnx'))
    const pipe = await open(folder)
    const latents = async (prompt: string[], seeds: number[]) => {
      const generator = seeds.map((seed) => new Generator(seed))
      return (await pipe.generate({ prompt, generator, numInferenceSteps: 2, outputType: 'latent' })).images
    }
    const together = await latents(['a cat', 'red', 'a dog'], [1, 2, 3])
    const alone = await latents(['a dog'], [3])
    expect(compare({ data: together.data.subarray(512), dims: alone.dims }, alone).difference).toBeLessThan(1e-6)
    await expect(pipe.generate({ prompt: 'a cat', height: 64, width: 96, numInferenceSteps: 1 })).rejects.toThrow(
      /takes "sample" as \[2, 4, 8, 8\] alone, not \[2, 4, 8, 12\]/,
    )
  })

  it('the layout of diffusers’ script: its class names, no configs, null parts', async () => {
    const folder = tinyPipeline('tiny-sd1')
    for (const part of ['unet', 'vae_decoder', 'vae_encoder', 'text_encoder']) rmSync(join(folder, part, 'config.json'))
    writeFileSync(
      join(folder, 'model_index.json'),
      JSON.stringify({ _class_name: 'OnnxStableDiffusionPipeline', safety_checker: [null, null] }),
    )
    const args = { prompt: 'a cat', numInferenceSteps: 2, height: 64, width: 64, outputType: 'latent' } as const
    const pipe = await open(folder)
    expect(pipe.modelInfo).toMatchObject({ height: 512, width: 512, vaeScaleFactor: 8, latentChannels: 4 })
    const usual = await open(tinyPipeline('tiny-sd1'))
    const [given, wanted] = await Promise.all(
      [pipe, usual].map((one) => one.generate({ ...args, generator: new Generator(1) })),
    )
    expect(compare(given!.images, wanted!.images).difference).toBeLessThan(1e-4)
  })

  it('its inpainting models, whose graphs do not say how many channels they take', async () => {
    const folder = tinyPipeline('tiny-inpaint')
    copyFileSync(join(GRAPHS, 'unet-inpainting.onnx'), join(folder, 'unet', 'model.onnx'))
    rmSync(join(folder, 'unet', 'config.json'))
    writeFileSync(join(folder, 'model_index.json'), '{ "_class_name": "OnnxStableDiffusionInpaintPipeline" }')
    const pipe = await open(folder)
    const side = { height: 64, width: 64 }
    const picture = { data: new Uint8Array(64 * 64 * 3), channels: 3, ...side }
    const args = { prompt: 'a cat', image: picture, maskImage: picture, numInferenceSteps: 1, ...side }
    const { images } = await pipe.generate({ ...args, outputType: 'latent' })
    expect(images.dims).toEqual([1, 4, 8, 8])
  })

  it('a tokenizer as tokenizer.json alone', async () => {
    const folder = tinyPipeline('tiny-sd1')
    rmSync(join(folder, 'tokenizer'), { recursive: true })
    cpSync(fileURLToPath(new URL('../../models/emoji/tokenizer', import.meta.url)), join(folder, 'tokenizer'), {
      recursive: true,
    })
    const pipe = await open(folder)
    const { promptEmbeds } = await pipe.components.promptEncoder.encode('a red apple')
    expect(promptEmbeds.dims).toEqual([1, 24, 16])
  })

  it('a scheduler config with an infinite number, as Python writes one into JSON', async () => {
    const folder = tinyPipeline('tiny-sd1')
    writeFileSync(
      join(folder, 'scheduler', 'scheduler_config.json'),
      '{ "_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "made_up": "\\"Infinity" }',
    )
    const { scheduler } = await open(folder)
    expect(scheduler.config).toMatchObject({ lambda_min_clipped: Number.NEGATIVE_INFINITY, made_up: '"Infinity' })
  })

  it('SDXL without a word on empty prompts: zeros, as its pipelines are built', async () => {
    const folder = tinyPipeline('tiny-sdxl')
    const args = { prompt: 'a cat', numInferenceSteps: 2, outputType: 'latent' } as const
    const make = async () => (await (await open(folder)).generate({ ...args, generator: new Generator(1) })).images
    const index = JSON.parse(readFileSync(join(folder, 'model_index.json'), 'utf8'))
    const told = await make()
    const write = (changes: object) =>
      writeFileSync(join(folder, 'model_index.json'), JSON.stringify({ ...index, ...changes }))
    write({ force_zeros_for_empty_prompt: undefined })
    expect(await make()).toEqual(told)
    write({ force_zeros_for_empty_prompt: false })
    expect(compare(await make(), told).difference).toBeGreaterThan(1e-3)
  })

  it('clip skip, where hidden states were exported: the earlier layer through the final norm', async () => {
    const folder = tinyPipeline('tiny-sd1')
    cpSync(join(FIXTURES, 'tiny-sdxl', 'text_encoder'), join(folder, 'text_encoder'), { recursive: true })
    const { promptEncoder } = (await open(folder)).components
    const { promptEmbeds } = await promptEncoder.encode('a cat', { clipSkip: 1 })
    // By numpy: (h - mean) / sqrt(variance + 1e-5) * weight + bias, the first four numbers of the first three tokens.
    const wanted = [
      [0.3904, 0.86, 0.2545, -0.4882],
      [0.6727, 1.2142, -0.3724, -0.2693],
      [0.5076, 1.4467, 0.8079, 0.532],
    ]
    wanted.flat().forEach((value, i) => {
      expect(promptEmbeds.data[Math.floor(i / 4) * 16 + (i % 4)]).toBeCloseTo(value, 3)
    })
  })
})

describe('chooseGraph', () => {
  const both = ['model.onnx', 'model_fp16.onnx']
  const marked = ['model.onnx', 'model_fp32.onnx']
  const cases: [names: string[], dtype: Dtype, onGpu: boolean, choice: object | undefined][] = [
    [both, 'auto', false, { name: 'model.onnx' }],
    [both, 'auto', true, { name: 'model_fp16.onnx', fp32Name: 'model.onnx' }],
    [both, 'fp16', false, { name: 'model_fp16.onnx', fp32Name: 'model.onnx' }],
    [both, 'fp32', true, { name: 'model.onnx' }],
    [marked, 'auto', false, { name: 'model.onnx', fp32Name: 'model_fp32.onnx' }],
    [marked, 'fp32', false, { name: 'model_fp32.onnx' }],
    [['model.fp16.onnx'], 'auto', false, { name: 'model.fp16.onnx' }],
    [['model.fp16.onnx'], 'fp32', false, undefined],
    [['decoder.onnx'], 'auto', true, { name: 'decoder.onnx' }],
    [[], 'auto', false, undefined],
  ]

  it.each(cases)('of %j, %s, on a GPU: %s', (names, dtype, onGpu, choice) => {
    expect(chooseGraph(names, dtype, onGpu)).toEqual(choice)
  })
})

describe('the model’s own defaults', () => {
  it('come from generation_config.json, else from diffusers’ pipeline class and the UNet’s size', async () => {
    const emoji = await open(fileURLToPath(new URL('../../models/emoji', import.meta.url)))
    expect(emoji.modelInfo).toMatchObject({
      numInferenceSteps: 8,
      guidanceScale: 1,
      height: 128,
      width: 128,
      sizeMultiple: 32,
    })
    const lcm = await open(tinyPipeline('tiny-lcm'))
    expect(lcm.modelInfo).toMatchObject({
      family: 'latent-consistency',
      numInferenceSteps: 4,
      guidanceScale: 8.5,
      height: 64,
      usesNegativePrompt: false,
    })
    const sampling = await lcm.begin({ prompt: 'a cat', generator: new Generator(1) })
    expect(sampling.steps).toBe(4)
  })
})

describe('what saves memory', () => {
  let pipe: StableDiffusionPipeline
  const make = async () =>
    (await pipe.generate({ prompt: 'a cat', numInferenceSteps: 2, generator: new Generator(1), outputType: 'np' }))
      .images
  beforeAll(async () => {
    pipe = await open(tinyPipeline('tiny-sd1'))
  })

  it('guidance one row at a time makes the same image', async () => {
    const together = await make()
    const forward = vi.spyOn(pipe.components.unet, 'forward')
    pipe.enableGuidanceSlicing()
    expect(compare(await make(), together).difference).toBeLessThan(1e-5)
    pipe.disableGuidanceSlicing()
    expect(forward.mock.calls.map(([sample]) => sample.dims[0])).toEqual(Array(forward.mock.calls.length).fill(1))
    forward.mockRestore()
  })

  it('parts released after use are opened again', async () => {
    const kept = await make()
    const release = vi.spyOn(pipe.components.unet.model, 'release')
    await pipe.enableModelCpuOffload()
    expect(await make()).toEqual(kept)
    expect(release).toHaveBeenCalledTimes(2)
    await pipe.release()
    expect(await make()).toEqual(kept)
  })
})

describe('samplings', () => {
  it('take turns without touching each other', async () => {
    const pipe = await open(tinyPipeline('tiny-sd1'))
    const begin = (seed: number, steps: number) =>
      pipe.begin({ prompt: 'a cat', numInferenceSteps: steps, generator: new Generator(seed), outputType: 'latent' })
    const alone = await begin(1, 4)
    while (!alone.done) await alone.next()
    const [first, second] = [await begin(1, 4), await begin(2, 7)]
    while (!first.done || !second.done) for (const one of [first, second]) if (!one.done) await one.next()
    expect(first.latents).toEqual(alone.latents)
    expect(second.latents).not.toEqual(alone.latents)
    expect([first.step, second.step]).toEqual([first.steps, second.steps])
    await expect(first.next()).rejects.toThrow(/This sampling is done/)
  })

  it('go on with the latents that a callback gives back', async () => {
    const pipe = await open(tinyPipeline('tiny-sd1'))
    const seen: [number, number][] = []
    const { images } = await pipe.generate({
      prompt: 'a cat',
      numInferenceSteps: 3,
      generator: new Generator(1),
      outputType: 'latent',
      callbackOnStepEnd: async (caller, step, timestep, { latents }) => {
        expect(caller).toBe(pipe)
        seen.push([step, timestep])
        return { latents: { data: new Float32Array(latents.data.length).fill(step), dims: latents.dims } }
      },
    })
    expect(seen.map(([step]) => step)).toEqual([0, 1, 2, 3])
    expect(new Set(images.data)).toEqual(new Set([3]))
  })
})
