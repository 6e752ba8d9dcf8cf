/** Pictures from PyTorch's weights are diffusers' own: from its folders, and from single files in the original layout. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  Generator,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  schedulerFromConfig,
} from '../../src/engine/index.ts'
import {
  CHECKPOINTS,
  type Dtype,
  modelNamed,
  singleFileTensors,
  tinyFile,
  tinyFolder,
  withDtype,
} from './tiny-checkpoint.ts'
import { compare, ON_CPU, readNpy } from './tiny-pipeline.ts'

interface Case {
  name: string
  model: string
  task?: 'img2img' | 'inpaint'
  dtype?: Dtype
  args: { prompt: string; seed: number; [key: string]: unknown }
  shape: number[]
}

const { cases } = JSON.parse(readFileSync(join(CHECKPOINTS, 'cases.json'), 'utf8')) as { cases: Case[] }

const PIPELINES = {
  txt2img: StableDiffusionPipeline,
  img2img: StableDiffusionImg2ImgPipeline,
  inpaint: StableDiffusionInpaintPipeline,
}

async function expectImages(path: string, one: Case) {
  const { seed, ...args } = one.args
  const opened = await PIPELINES[one.task ?? 'txt2img'].fromPretrained(path, ON_CPU)
  // A file has its family's scheduler; where the model was published with another, people choose it.
  const scheduler = schedulerFromConfig(modelNamed(one.model).scheduler)
  const pipe = new PIPELINES[one.task ?? 'txt2img']({ ...opened.components, scheduler })
  const sampling = await pipe.begin({
    ...args,
    ...(one.task && { image: join(CHECKPOINTS, 'image.png') }),
    ...(one.task === 'inpaint' && { maskImage: join(CHECKPOINTS, 'mask.png') }),
    generator: new Generator(seed),
    outputType: 'np',
  })
  while (!sampling.done) await sampling.next()
  const { images } = await sampling.finish()
  await pipe.release()
  const off = compare(sampling.latents, readNpy(join(CHECKPOINTS, `${one.name}.latents.npy`)))
  expect(off.difference).toBeLessThan(1e-4 * off.magnitude)
  expect(images.dims).toEqual(one.shape)
  expect(compare(images, readNpy(join(CHECKPOINTS, `${one.name}.images.npy`))).difference).toBeLessThan(1e-4)
}

describe.each(cases)('$name agrees with diffusers', (one) => {
  const { dtype = 'F32' } = one

  it('from a folder', async () => {
    await expectImages(tinyFolder(one.model, { dtype }), one)
  })

  it('from one file', async () => {
    await expectImages(tinyFile(withDtype(singleFileTensors(one.model), () => dtype)), one)
  })
})
