/** ControlNets in every pipeline, against what diffusers draws with the same weights. */

import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  type GenerateArguments,
  Generator,
  StableDiffusionControlNetImg2ImgPipeline,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionPipeline,
} from '../../src/engine/index.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { compare, FIXTURES, ON_CPU, readNpy, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const FOLDER = fileURLToPath(new URL('../fixtures/controlnet/', import.meta.url))

interface Case {
  readonly model: 'sd1' | 'sdxl'
  readonly task: 'text' | 'img2img' | 'inpaint'
  readonly uses: readonly string[]
  readonly args: Partial<GenerateArguments>
}

const CASES = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Record<string, Case>

const PIPELINES: Record<Case['task'], typeof StableDiffusionPipeline> = {
  text: StableDiffusionControlNetPipeline,
  img2img: StableDiffusionControlNetImg2ImgPipeline,
  inpaint: StableDiffusionControlNetInpaintPipeline,
}

const models = new Map<string, string>()

/** The model with its tokenizer, which the fixtures share. */
function model(name: 'sd1' | 'sdxl'): string {
  const known = models.get(name)
  if (known) return known
  const folder = temporaryFolder()
  cpSync(join(FOLDER, name), folder, { recursive: true })
  for (const tokenizer of name === 'sdxl' ? ['tokenizer', 'tokenizer_2'] : ['tokenizer'])
    cpSync(join(FIXTURES, 'clip-tokenizer'), join(folder, tokenizer), { recursive: true })
  models.set(name, folder)
  return folder
}

const picture = (name: string) => join(FOLDER, `${name}.png`)
const controlnet = (family: string, net: string) => join(FOLDER, `${family}-controlnet-${net}`)

function argumentsOf({ task, uses, args }: Case): GenerateArguments<'latent'> {
  const seen = uses.length > 1 ? [picture('edges'), picture('other')] : picture('edges')
  const images =
    task === 'text'
      ? { image: seen }
      : { image: picture('image'), controlImage: seen, ...(task === 'inpaint' && { maskImage: picture('mask') }) }
  return {
    prompt: 'a red apple',
    numInferenceSteps: 4,
    guidanceScale: 4,
    generator: new Generator(7),
    ...images,
    ...args,
    outputType: 'latent',
  }
}

async function draw(name: string, change: (pipe: StableDiffusionPipeline) => void = () => {}): Promise<Tensor> {
  const one = CASES[name]!
  const paths = one.uses.map((net) => controlnet(one.model, net))
  const pipe = await PIPELINES[one.task].fromPretrained(model(one.model), { ...ON_CPU, controlnet: paths })
  change(pipe)
  const { images } = await pipe.generate(argumentsOf(one))
  await pipe.release()
  return images
}

describe('a pipeline with ControlNets', () => {
  it.each(Object.keys(CASES))('%s is what diffusers draws', async (name) => {
    const { difference, magnitude } = compare(await draw(name), readNpy(join(FOLDER, `${name}.npy`)))
    expect(magnitude).toBeGreaterThan(0.1)
    expect(difference).toBeLessThan(1e-4)
  })

  it('draws the same one row at a time, and with its attention in slices', async () => {
    for (const name of ['sd1-two', 'sd1-guess', 'sdxl-plain']) {
      const sliced = await draw(name, (pipe) => {
        pipe.enableGuidanceSlicing()
        pipe.enableAttentionSlicing('max')
      })
      expect(compare(sliced, readNpy(join(FOLDER, `${name}.npy`))).difference).toBeLessThan(1e-4)
    }
  })

  it('shares its parts with a plain pipeline, which draws as if there were none', async () => {
    const options = { ...ON_CPU, controlnet: controlnet('sd1', 'a') }
    const controlled = await StableDiffusionControlNetPipeline.fromPretrained(model('sd1'), options)
    const plain = new StableDiffusionPipeline(controlled.components)
    const alone = await StableDiffusionPipeline.fromPretrained(model('sd1'), ON_CPU)
    const args = () =>
      ({ prompt: 'a red apple', numInferenceSteps: 2, generator: new Generator(1), outputType: 'latent' }) as const
    const { images } = await plain.generate(args())
    expect(images).toEqual((await alone.generate(args())).images)
    const { images: again } = await controlled.generate(argumentsOf(CASES['sd1-plain']!))
    expect(compare(again, readNpy(join(FOLDER, 'sd1-plain.npy'))).difference).toBeLessThan(1e-4)
  })
})

describe('what cannot work with a ControlNet', () => {
  const open = (options: object = {}) =>
    StableDiffusionControlNetPipeline.fromPretrained(model('sd1'), {
      ...ON_CPU,
      controlnet: controlnet('sd1', 'a'),
      ...options,
    })
  const prompt = 'a red apple'
  const image = picture('edges')

  it.each([
    [{ prompt }, /`image` has to be given, because the ControlNet needs a picture/],
    [{ prompt, image, controlGuidanceStart: 0.9, controlGuidanceEnd: 0.1 }, /`controlGuidanceStart` has to be from 0/],
    [{ prompt, image, controlnetConditioningScale: [1, 2] }, /`controlnetConditioningScale` has to be a number/],
    [{ prompt, image: [image, image, image] }, /`controlImage` has to be one picture/],
  ])('%j', async (args, message) => {
    await expect((await open()).generate(args)).rejects.toThrow(message)
  })

  it('none is given, or a plain pipeline is given its arguments', async () => {
    await expect(open({ controlnet: undefined })).rejects.toThrow(/give one as `controlnet`/)
    const plain = await StableDiffusionPipeline.fromPretrained(model('sd1'), ON_CPU)
    await expect(plain.generate({ prompt, guessMode: true })).rejects.toThrow(
      /`guessMode` is for a pipeline with a ControlNet/,
    )
  })

  it('an export to ONNX, one of another family, or no ControlNet at all', async () => {
    const options = { ...ON_CPU, controlnet: controlnet('sd1', 'a') }
    await expect(StableDiffusionControlNetPipeline.fromPretrained(tinyPipeline('tiny-sd1'), options)).rejects.toThrow(
      /takes no ControlNet, being an export to ONNX/,
    )
    await expect(open({ controlnet: controlnet('sdxl', 'a') })).rejects.toThrow(/was made for another kind of model/)
    await expect(open({ controlnet: join(model('sd1'), 'unet/diffusion_pytorch_model.safetensors') })).rejects.toThrow(
      /not a ControlNet/,
    )
  })
})
