import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  Generator,
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
