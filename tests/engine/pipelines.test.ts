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
import { compare, FIXTURES, readNpy, tinyPipeline } from './tiny-pipeline.ts'

interface Case {
  name: string
  model: string
  task: 'txt2img' | 'img2img' | 'inpaint'
  scheduler?: string
  args: Record<string, unknown> & { prompt: string | string[]; seed?: number; seeds?: number[] }
  shape: number[]
}

const { cases, schedulers } = JSON.parse(readFileSync(join(FIXTURES, 'cases.json'), 'utf8')) as {
  cases: Case[]
  schedulers: Record<string, SchedulerConfig>
}

const TASKS = {
  txt2img: StableDiffusionPipeline,
  img2img: StableDiffusionImg2ImgPipeline,
  inpaint: StableDiffusionInpaintPipeline,
}

function argumentsOf({ name, args }: Case) {
  const { seed, seeds, image, maskImage, ...rest } = args
  return {
    ...rest,
    ...(image !== undefined && { image: join(FIXTURES, `${name}.image.png`) }),
    ...(maskImage !== undefined && { maskImage: join(FIXTURES, `${name}.maskImage.png`) }),
    generator: seeds ? seeds.map((one) => new Generator(one)) : new Generator(seed!),
  }
}

describe.each([...new Set(cases.map(({ model }) => model))])('%s agrees with diffusers', (model) => {
  let opened: StableDiffusionPipeline
  beforeAll(async () => {
    opened = await StableDiffusionPipeline.fromPretrained(tinyPipeline(model), { device: 'cpu' })
  })

  it.each(cases.filter((one) => one.model === model))('$name', async (one) => {
    const pipe = new TASKS[one.task](opened.components)
    if (one.scheduler) {
      const [className] = one.scheduler.split(':')
      pipe.scheduler = schedulerFromConfig({ ...schedulers[one.scheduler], _class_name: className })
    }
    const sampling = await pipe.begin({ ...argumentsOf(one), outputType: 'np' })
    while (!sampling.done) await sampling.next()
    const { images } = await sampling.finish()

    const off = compare(sampling.latents, readNpy(`${one.name}.latents.npy`))
    expect(off.difference).toBeLessThan(1e-4 * off.magnitude)
    expect(images.dims).toEqual(one.shape)
    expect(compare(images, readNpy(`${one.name}.images.npy`)).difference).toBeLessThan(1e-4)
  })
})
