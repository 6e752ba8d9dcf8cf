import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { openError } from '../../src/engine/devices/session-error.ts'
import { readOnnx } from '../../src/engine/graph/onnx-file.ts'
import {
  type GenerateArguments,
  Generator,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
} from '../../src/engine/index.ts'
import { FIXTURES, ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const GRAPHS = fileURLToPath(new URL('../fixtures/graphs/', import.meta.url))

const open = (folder: string, options = {}) => StableDiffusionPipeline.fromPretrained(folder, { ...ON_CPU, ...options })

const withUnet = (graph: string) => {
  const folder = tinyPipeline('tiny-sd1')
  copyFileSync(join(GRAPHS, graph), join(folder, 'unet', 'model.onnx'))
  return folder
}

const edited = (file: string, edit: (path: string, folder: string) => void) => {
  const folder = tinyPipeline('tiny-sd1')
  edit(join(folder, file), folder)
  return folder
}

describe('a model that cannot be opened', () => {
  const cases: Record<string, [folder: () => string, code: string, words: RegExp]> = {
    'a path that is not there': [() => '/no/such/folder', 'model', /There is no folder \/no\/such\/folder/],
    'a folder that is no pipeline': [temporaryFolder, 'model', /it has no model_index\.json/],
    'a file that is no model': [() => join(FIXTURES, 'cases.json'), 'model', /cases.json is /],
    'half a model_index.json': [
      () => edited('model_index.json', (path) => writeFileSync(path, '{"_class_name": "Stable')),
      'model',
      /model_index\.json is no JSON object: it is damaged or half-downloaded/,
    ],
    'a class of another kind': [
      () => edited('model_index.json', (path) => writeFileSync(path, '{"_class_name": "FluxPipeline"}')),
      'model',
      /class "FluxPipeline" is not supported; use a model whose model_index\.json says StableDiffusionPipeline/,
    ],
    'a class that is no text': [
      () => edited('model_index.json', (path) => writeFileSync(path, '{"_class_name": {"toString": 1}}')),
      'model',
      /class {"toString":1} is not supported/,
    ],
    'a graph that is missing': [
      () => edited('vae_decoder/model.onnx', (path) => rmSync(path)),
      'model',
      /no ONNX graph of the vae_decoder .*download the model again/,
    ],
    'a half-downloaded graph': [
      () => edited('unet/model.onnx', (path) => truncateSync(path, 500_000)),
      'model',
      /unet\/model\.onnx is damaged or half-downloaded; download the model again/,
    ],
    'an empty graph': [() => edited('text_encoder/model.onnx', (path) => truncateSync(path, 0)), 'model', /is damaged/],
    'weights that are missing': [
      () => withUnet('unet-without-weights.onnx'),
      'model',
      /The weights beside .*unet\/model\.onnx are missing or half-downloaded/,
    ],
    'weights that are half there': [
      () =>
        edited('unet/model.onnx', (path, folder) => {
          copyFileSync(join(GRAPHS, 'unet-without-weights.onnx'), path)
          writeFileSync(join(folder, 'unet', 'unet-without-weights.onnx_data'), 'half')
        }),
      'model',
      /The weights beside .*unet\/model\.onnx are missing or half-downloaded/,
    ],
    'an operator that the CPU lacks': [
      () => withUnet('unet-nhwc-conv.onnx'),
      'device',
      /uses the operator NhwcConv, which device 'cpu' lacks: .*give PyTorch's weights of the model/,
    ],
    'a missing tokenizer': [
      () => edited('tokenizer/vocab.json', (path) => rmSync(path)),
      'model',
      /neither tokenizer\.json nor vocab\.json/,
    ],
    'a damaged tokenizer': [
      () => edited('tokenizer/vocab.json', (path) => truncateSync(path, 1000)),
      'model',
      /tokenizer in .* cannot be read; download the model again/,
    ],
    'no scheduler': [
      () => edited('scheduler/scheduler_config.json', (path) => rmSync(path)),
      'model',
      /has no scheduler\/scheduler_config\.json/,
    ],
  }

  it.each(Object.entries(cases))('%s', async (_, [folder, code, words]) => {
    await expect(open(folder())).rejects.toMatchObject({
      name: 'EngineError',
      code,
      message: expect.stringMatching(words),
    })
  })

  it('a precision that the folder does not have', async () => {
    const folder = tinyPipeline('tiny-sd1')
    await expect(open(folder, { dtype: 'fp16' })).rejects.toThrow(/is fp32, not fp16; use dtype 'auto'/)
    rmSync(join(folder, 'unet', 'model.onnx'))
    copyFileSync(join(GRAPHS, 'unet-fp16.onnx'), join(folder, 'unet', 'model_fp16.onnx'))
    await expect(open(folder, { dtype: 'fp32' })).rejects.toThrow(/has no fp32 file, only model_fp16\.onnx/)
  })

  it('a device that is not there', async () => {
    const folder = tinyPipeline('tiny-sd1')
    await expect(open(folder, { device: 'abacus' })).rejects.toThrow(
      /no device "abacus"; choose one of auto, cpu, cuda/,
    )
    await expect(open(folder, { device: process.platform === 'win32' ? 'coreml' : 'dml' })).rejects.toMatchObject({
      code: 'device',
      message: expect.stringMatching(/ONNX Runtime has no .*or use device 'cpu'/),
    })
  })

  it('a newer ONNX, or a type that is none of ours', () => {
    const words = (message: string) => openError(new Error(message), 'unet', 'unet/model.onnx', 'cpu').message
    expect(
      words('Load model failed:model.cc:202 Unsupported model IR version: 99, max supported IR version: 13'),
    ).toMatch(/exported for a newer ONNX .* lower --opset/)
    expect(words('Unsupported data type: 16')).toMatch(/such as bfloat16; export it in fp32 or fp16/)
    expect(words('Load model from /a/b.onnx failed:Invalid model.\nNode 3')).toMatch(
      /cannot be opened \(Invalid model\); download the model again, or export it again\.$/,
    )
  })

  it('numbers of a config that are no size, and words that no vocabulary has', async () => {
    const config = { height: -8, width: 64 }
    const small = edited('generation_config.json', (path) => writeFileSync(path, JSON.stringify(config)))
    await expect((await open(small)).generate({ prompt: '' })).rejects.toThrow(
      /`height` has to be a multiple of 8 but is -8/,
    )
    const mute = edited('tokenizer/vocab.json', (path) => writeFileSync(path, '{"a":"b"}'))
    await expect((await open(mute)).generate({ prompt: 'cat' })).rejects.toThrow(/vocabulary lacks letters.*download/)
  })

  it('an input that no pipeline has', async () => {
    const pipe = await open(withUnet('unet-with-control.onnx'))
    await expect(pipe.generate({ prompt: 'a cat', numInferenceSteps: 1 })).rejects.toThrow(
      /The unet wants an input "control" that this kind of pipeline has not/,
    )
  })
})

describe('an option that there is not', () => {
  it.each([
    [{ dType: 'fp32' }, /^There is no option `dType`; did you mean `dtype`\?$/],
    [{ torch_dtype: 'fp16' }, /^There is no option `torch_dtype`; leave it out\.$/],
    [{ safetyChecker: null }, /^There is no option `safetyChecker`; leave it out\.$/],
  ])('%s', async (option, message) => {
    const opening = StableDiffusionPipeline.fromPretrained('nowhere', { ...ON_CPU, ...option })
    await expect(opening).rejects.toMatchObject({ code: 'argument', message: expect.stringMatching(message) })
  })
})

describe('an argument that cannot work', () => {
  let pipe: StableDiffusionPipeline
  beforeAll(async () => {
    pipe = await open(tinyPipeline('tiny-sd1'))
  })

  const image = join(FIXTURES, 'img2img-0.8.image.png')
  const cases: [Partial<Record<keyof GenerateArguments, unknown>> & Record<string, unknown>, RegExp][] = [
    [{ guidance_scale: 3 }, /^There is no argument `guidance_scale`; did you mean `guidanceScale`\?$/],
    [{ originalSize: [64, 64] }, /^There is no argument `originalSize`; leave it out\.$/],
    [{ ['__proto__']: 1, toString: 1 }, /^There is no argument `(?:__proto__|toString)`/],
    [{ prompt: undefined }, /`prompt` has to be a text or a list of texts/],
    [{ prompt: [] }, /`prompt` has to be a text or a list of texts/],
    [{ height: 65 }, /`height` has to be a multiple of 8 but is 65/],
    [{ width: 0 }, /`width` has to be a multiple of 8/],
    [{ numInferenceSteps: 0 }, /`numInferenceSteps` has to be a whole number, at least 1 but is 0/],
    [{ numImagesPerPrompt: 1.5 }, /`numImagesPerPrompt` has to be a whole number/],
    [{ numImagesPerPrompt: 1e9 }, /1000000000 images of 64×64 are more than one batch can hold; ask for fewer/],
    [{ height: 2 ** 33, width: 64 }, /1 images of 64×8589934592 are more than one batch can hold/],
    [{ guidanceScale: Number.NaN }, /`guidanceScale` has to be a finite number but is NaN/],
    [{ eta: 2 }, /`eta` has to be in 0\.\.1/],
    [{ image, strength: 1.1 }, /`strength` has to be in 0\.\.1 but is 1\.1/],
    [{ image, strength: '0.5' }, /`strength` has to be in 0\.\.1/],
    [{ image, maskImage: image, strength: 0.01 }, /`strength` has to be at least 0\.5 with 2 steps/],
    [{ prompt: ['a cat', 'a dog'], negativePrompt: 'red' }, /`negativePrompt` has to be a list of 2 texts/],
    [{ negativePrompt: ['red'] }, /`negativePrompt` has to be a text but is \["red"\]/],
    [{ prompt: ['a cat'], negativePrompt: ['red', 'red'] }, /`negativePrompt` has to be as long a list as prompt/],
    [
      { numImagesPerPrompt: 3, generator: [new Generator(1), new Generator(2)] },
      /`generator` has to be one generator, or a list of 3/,
    ],
    [{ latents: { data: new Float32Array(4), dims: [1, 4, 1, 1] } }, /`latents` has to be of the shape \[1, 4, 8, 8\]/],
    [{ latents: new Float32Array(256) }, /`latents` has to be { data: a Float32Array, dims: its shape }/],
    [{ generator: [42] }, /`generator` has to be a Generator or a list of them but is \[42\]/],
    [
      { callbackOnStepEnd: () => ({ latents: { data: new Float32Array(4), dims: [1, 4, 1, 1] } }) },
      /`callbackOnStepEnd's latents` has to be of the shape \[1, 4, 8, 8\] but is \[1, 4, 1, 1\]/,
    ],
    [{ clipSkip: Number.NaN }, /`clipSkip` has to be a whole number, at least 1 but is NaN/],
    [{ outputType: 'pil' }, /`outputType` has to be 'png', 'np' or 'latent'/],
    [{ clipSkip: 5 }, /has no hidden state 5 from the end/],
    [{ image: '/no/such.png' }, /`image` cannot be read/],
    [{ image: Buffer.from('GIF89a, or so it says') }, /`image` cannot be read/],
    [
      { image: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="12000" height="12000"/>') },
      /`image` cannot be read \(Input image exceeds pixel limit\)/,
    ],
    [{ image: { data: new Uint8Array(5), width: 2, height: 2, channels: 3 } }, /`image` cannot be read .*do not fill/],
    [{ image: [image, image] }, /2 images cannot be shared out over 1/],
  ]

  it.each(cases)('%o', async (args, words) => {
    const all = { prompt: 'a cat', numInferenceSteps: 2, ...args } as GenerateArguments
    await expect(pipe.generate(all)).rejects.toMatchObject({
      name: 'EngineError',
      code: 'argument',
      message: expect.stringMatching(words),
    })
  })

  it('a mask of another size', async () => {
    const mask = await sharp({ create: { width: 32, height: 64, channels: 3, background: 'white' } })
      .png()
      .toBuffer()
    const inpaint = new StableDiffusionInpaintPipeline(pipe.components)
    await expect(inpaint.generate({ prompt: 'a cat', image, maskImage: mask })).rejects.toThrow(
      /`maskImage` has to be as large as image \(64×64\) but is 32×64/,
    )
    const second = inpaint.generate({ prompt: ['a cat', 'a dog'], image, maskImage: [image, mask] })
    await expect(second).rejects.toThrow(/`maskImage` has to be as large as image \(64×64\) but is 32×64/)
    await expect(inpaint.generate({ prompt: 'a cat', image })).rejects.toThrow(/`maskImage` has to be given/)
    await expect(new StableDiffusionImg2ImgPipeline(pipe.components).generate({ prompt: '' })).rejects.toThrow(
      /`image` has to be given/,
    )
  })

  it('a size that the export cannot make', async () => {
    await expect(pipe.generate({ prompt: 'a cat', height: 72, width: 64, numInferenceSteps: 1 })).rejects.toMatchObject(
      {
        code: 'argument',
        message: expect.stringMatching(/cannot work at this size .*multiples of 64/),
      },
    )
  })

  it('an aborted signal', async () => {
    const generated = pipe.generate({ prompt: 'a cat', signal: AbortSignal.abort() })
    await expect(generated).rejects.toMatchObject({
      name: 'AbortError',
      code: 'aborted',
      message: expect.stringMatching(/call again/),
    })
  })

  it('a signal aborted for a reason: that reason, before or between steps', async () => {
    const reason = new Error('the person changed their mind')
    await expect(pipe.generate({ prompt: 'a cat', signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const steps: number[] = []
    const callbackOnStepEnd = (_: unknown, step: number) => {
      steps.push(step)
      if (step === 1) controller.abort(reason)
    }
    const generated = pipe.generate({
      prompt: 'a cat',
      numInferenceSteps: 8,
      signal: controller.signal,
      callbackOnStepEnd,
    })
    await expect(generated).rejects.toBe(reason)
    expect(steps).toEqual([0, 1])
  })

  it('a text-to-image request to a model that only inpaints', async () => {
    const inpaint = await open(tinyPipeline('tiny-inpaint'))
    await expect(inpaint.generate({ prompt: 'a cat' })).rejects.toThrow(/`image` has to be given/)
    await expect(inpaint.generate({ prompt: 'a cat', image })).rejects.toThrow(/give `image` and `maskImage`/)
  })
})

describe('half precision', () => {
  const half = (graph: string, part = 'unet') => {
    const folder = tinyPipeline('tiny-sd1')
    copyFileSync(join(GRAPHS, graph), join(folder, part, 'model_fp16.onnx'))
    return folder
  }
  const args = { prompt: 'a cat', numInferenceSteps: 3, outputType: 'np' } as const
  const make = async (pipe: StableDiffusionPipeline) =>
    (await pipe.generate({ ...args, generator: new Generator(1) })).images.data

  it('a UNet in half precision beside parts in float32 makes nearly the same image', async () => {
    const folder = half('unet-fp16.onnx')
    const full = await make(await open(folder, { dtype: 'fp32' }))
    const pipe = await open(folder, { dtype: 'fp16' })
    expect(pipe.components.unet.model.inputs.get('sample')?.type).toBe('float16')
    const images = await make(pipe)
    const differences = images.map((value, i) => Math.abs(value - full[i]!))
    expect(Math.max(...differences)).toBeGreaterThan(0)
    expect(Math.max(...differences)).toBeLessThan(0.03)
  })

  it('is told by the weights where inputs and outputs are float32', async () => {
    const folder = withUnet('unet-fp16-inside.onnx')
    expect((await open(folder, { dtype: 'fp16' })).device).toBe('cpu')
    await expect(open(folder, { dtype: 'fp32' })).rejects.toThrow(/is fp16, not fp32/)
  })

  it('is opened again from the model’s own file, not from what was made of it', async () => {
    const folder = half('unet-fp16.onnx')
    const pipe = await open(folder, { dtype: 'fp16' })
    pipe.enableAttentionSlicing('max')
    const sliced = await make(pipe)
    const again = await open(folder, { dtype: 'fp16' })
    expect(again.components.unet.model.source.path).toBe(join(folder, 'unet', 'model_fp16.onnx'))
    again.enableAttentionSlicing('max')
    expect(await make(again)).toEqual(sliced)
  })

  it('two at once keep out of each other’s way', async () => {
    const pipe = await open(half('unet-fp16.onnx'), { dtype: 'fp16' })
    const alone = await make(pipe)
    expect(await Promise.all([make(pipe), make(pipe)])).toEqual([alone, alone])
  })

  it('NaN is cured with the float32 file, aloud', async () => {
    const folder = half('unet-overflow-fp16.onnx')
    const notices: unknown[] = []
    const pipe = await open(folder, {
      dtype: 'fp16',
      onProgress: (one: { status: string }) => one.status === 'notice' && notices.push(one),
    })
    expect(await make(pipe)).toEqual(await make(await open(folder, { dtype: 'fp32' })))
    expect(notices).toEqual([
      {
        status: 'notice',
        message: expect.stringMatching(/unet computed NaN in half precision; using its float32 file/),
      },
    ])
  })

  it('attention stays as it was asked for when the float32 file takes over', async () => {
    const folder = half('unet-fp16.onnx')
    const halfPath = join(folder, 'unet', 'model_fp16.onnx')
    const bytes = readFileSync(halfPath)
    for (const { place } of readOnnx(halfPath).initializers) {
      if (place) bytes.fill('007e', place.offset, place.offset + place.length, 'hex')
    }
    writeFileSync(halfPath, bytes)
    const pipe = await open(folder, { dtype: 'fp16' })
    const full = await open(folder, { dtype: 'fp32' })
    for (const each of [pipe, full]) each.enableAttentionSlicing('max')
    expect(await make(pipe)).toEqual(await make(full))
    const { model } = pipe.components.unet
    expect(model.source.path).toBe(join(folder, 'unet', 'model.onnx'))
    expect(model.hasRewrite('attention')).toBe(true)
    pipe.disableAttentionSlicing()
    await make(pipe)
    expect(model.hasRewrite('attention')).toBe(false)
  })

  it('NaN without a float32 file is explained', async () => {
    const folder = half('unet-overflow-fp16.onnx')
    rmSync(join(folder, 'unet', 'model.onnx'))
    await expect(make(await open(folder))).rejects.toMatchObject({
      code: 'numeric',
      message: expect.stringMatching(
        /unet computed NaN or infinity; it runs in half precision, which overflowed: use dtype 'fp32'/,
      ),
    })
  })
})

describe('a safety checker', () => {
  it('flags images and leaves them as they are', async () => {
    const folder = tinyPipeline('tiny-sd1')
    const plain = await open(folder)
    mkdirSync(join(folder, 'safety_checker'))
    copyFileSync(join(GRAPHS, 'safety-checker.onnx'), join(folder, 'safety_checker', 'model.onnx'))
    const pipe = await open(folder)
    const args = { prompt: 'a cat', numInferenceSteps: 1, numImagesPerPrompt: 2 }
    const generator = () => [new Generator(1), new Generator(2)]
    const run = vi.spyOn(pipe.components.safetyChecker!.model, 'run')
    const { images, nsfwContentDetected } = await pipe.generate({ ...args, generator: generator() })
    // diffusers' exports of it take no more than one at a time.
    expect(run.mock.calls.map(([feeds]) => [feeds.clip_input?.dims[0], feeds.images?.dims[0]])).toEqual([
      [1, 1],
      [1, 1],
    ])
    const without = await plain.generate({ ...args, generator: generator() })
    expect(nsfwContentDetected).toHaveLength(2)
    expect(without.nsfwContentDetected).toBeUndefined()
    expect(images).toEqual(without.images)
    const brightness = await Promise.all(
      images.map(async (png) => (await sharp(png).stats()).channels.map(({ mean }) => mean)),
    )
    const middle = [0.4815, 0.4578, 0.4082].map((mean) => mean * 255)
    const std = [0.2686, 0.2613, 0.2758]
    const bright = brightness.map((means) => means.reduce((sum, mean, i) => sum + (mean - middle[i]!) / std[i]!, 0) > 0)
    expect(nsfwContentDetected).toEqual(bright)
  })
})
