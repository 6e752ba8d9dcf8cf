import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type CallbackOnStepEnd,
  DDIMScheduler,
  Generator,
  PNDMScheduler,
  type Scheduler,
  type SchedulerConfig,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  schedulerFromConfig,
} from '../../src/engine/index.ts'
import { compare, FIXTURES, MORE_FIXTURES, ON_CPU, readNpy, tinyPipeline } from './tiny-pipeline.ts'

interface Case {
  name: string
  model: string
  task: 'txt2img' | 'img2img' | 'inpaint'
  scheduler?: string
  args: Record<string, unknown> & { prompt: string | string[]; seed?: number; seeds?: number[] }
  shape: number[]
  folder: string
}

const schedulers: Record<string, SchedulerConfig> = {}
const cases = [FIXTURES, MORE_FIXTURES].flatMap((folder) => {
  const file = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8'))
  Object.assign(schedulers, file.schedulers)
  return (file.cases as Omit<Case, 'folder'>[]).map((one) => ({ ...one, folder }))
})

const TASKS = {
  txt2img: StableDiffusionPipeline,
  img2img: StableDiffusionImg2ImgPipeline,
  inpaint: StableDiffusionInpaintPipeline,
}

function argumentsOf({ name, args, folder }: Case) {
  const { seed, seeds, image, maskImage, ...rest } = args
  const path = (key: string, value: unknown) => join(folder, typeof value === 'string' ? value : `${name}.${key}.png`)
  return {
    ...rest,
    ...(image !== undefined && { image: path('image', image) }),
    ...(maskImage !== undefined && { maskImage: path('maskImage', maskImage) }),
    generator: seeds ? seeds.map((one) => new Generator(one)) : new Generator(seed!),
  }
}

describe.each([...new Set(cases.map(({ model }) => model))])('%s agrees with diffusers', (model) => {
  let opened: StableDiffusionPipeline
  beforeAll(async () => {
    opened = await StableDiffusionPipeline.fromPretrained(tinyPipeline(model), ON_CPU)
  })

  it.each(cases.filter((one) => one.model === model))('$name', async (one) => {
    const { components } = opened
    const scheduler = one.scheduler
      ? schedulerFromConfig({ ...schedulers[one.scheduler], _class_name: one.scheduler.split(':')[0] })
      : components.scheduler
    const pipe = new TASKS[one.task]({ ...components, scheduler })
    const sampling = await pipe.begin({ ...argumentsOf(one), outputType: 'np' })
    while (!sampling.done) await sampling.next()
    const { images } = await sampling.finish()

    const off = compare(sampling.latents, readNpy(join(one.folder, `${one.name}.latents.npy`)))
    expect(off.difference).toBeLessThan(1e-4 * off.magnitude)
    expect(images.dims).toEqual(one.shape)
    expect(compare(images, readNpy(join(one.folder, `${one.name}.images.npy`))).difference).toBeLessThan(1e-4)
  })
})

describe('what diffusers’ pipelines do each in its own way', () => {
  const opened = (model: string) => StableDiffusionPipeline.fromPretrained(tinyPipeline(model), ON_CPU)
  const args = { prompt: 'a cat', numInferenceSteps: 2, outputType: 'np' } as const

  it('text-to-image corrects clip_sample, inpainting skip_prk_steps, both steps_offset', async () => {
    const { components } = await opened('tiny-sd1')
    const mended = (Pipeline: typeof StableDiffusionPipeline, scheduler: Scheduler) =>
      new Pipeline({ ...components, scheduler }).scheduler.config
    const [ddim, pndm] = [DDIMScheduler.fromConfig({}), PNDMScheduler.fromConfig({})]
    expect(mended(StableDiffusionPipeline, ddim)).toMatchObject({ clip_sample: false, steps_offset: 1 })
    expect(mended(StableDiffusionInpaintPipeline, ddim)).toMatchObject({ clip_sample: true, steps_offset: 1 })
    expect(mended(StableDiffusionPipeline, pndm)).toMatchObject({ skip_prk_steps: false, steps_offset: 1 })
    expect(mended(StableDiffusionInpaintPipeline, pndm)).toMatchObject({ skip_prk_steps: true, steps_offset: 1 })
  })

  it('only SDXL’s heed the latents’ mean and deviation', async () => {
    const images = async (model: string, changes: object) => {
      const folder = tinyPipeline(model)
      const path = join(folder, 'vae_decoder', 'config.json')
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...changes }))
      const pipe = await StableDiffusionPipeline.fromPretrained(folder, ON_CPU)
      return (await pipe.generate({ ...args, generator: new Generator(1) })).images
    }
    const normalised = { latents_mean: [0.1, 0.2, 0.3, 0.4], latents_std: [2, 3, 0.5, 1] }
    expect(await images('tiny-sd1', normalised)).toEqual(await images('tiny-sd1', {}))
    expect(compare(await images('tiny-sdxl', normalised), await images('tiny-sdxl', {})).difference).toBeGreaterThan(
      0.1,
    )
  })

  it('without guidance a negative prompt is not even looked at', async () => {
    const pipe = await opened('tiny-sd1')
    const make = async (negativePrompt?: string) => {
      const given = { ...args, prompt: ['a cat', 'red'], guidanceScale: 1, generator: new Generator(1) }
      return (await pipe.generate({ ...given, negativePrompt })).images
    }
    expect(await make('a dog')).toEqual(await make())
  })

  it('LCM’s decode what the last step gave, whatever a callback makes of it', async () => {
    const pipe = await opened('tiny-lcm')
    const make = async (replacing: readonly number[]) => {
      const callbackOnStepEnd: CallbackOnStepEnd = (_pipe, step, _timestep, { latents }) =>
        replacing.includes(step) ? { latents: { ...latents, data: latents.data.map(() => 0.5) } } : undefined
      return (await pipe.generate({ ...args, callbackOnStepEnd, generator: new Generator(1) })).images
    }
    expect(await make([1])).toEqual(await make([]))
    expect(await make([0])).not.toEqual(await make([]))
  })
})
