/** The engine's process, as it is built: the embedded model through the real child, crashes and all. */

import { spawn } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { parseParameters } from '../../src/engine/images/parameters.ts'
import { readPngText } from '../../src/engine/images/png-text.ts'
import { Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import type { EngineProgress, ImagesRequest } from '../../src/engine/process/engine.ts'
import { tinyPipeline } from './tiny-pipeline.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const host = join(root, 'dist/engine/process/host.js')
const { startEngine } = (await import(/* @vite-ignore */ host)) as typeof import('../../src/engine/process/host.ts')
const embedded = join(root, 'models/emoji')

const request: ImagesRequest = {
  prompt: 'a red apple',
  negativePrompt: '',
  numInferenceSteps: 3,
  guidanceScale: 4,
  width: 64,
  height: 64,
  images: [{ seed: 1, variations: [] }],
  upscale: 1,
  transparent: false,
}

const images = (...seeds: number[]) => seeds.map((seed) => ({ seed, variations: [] }))
const pixels = (png: Uint8Array) => sharp(png).raw().toBuffer()

describe('with the embedded model', () => {
  let engine: Awaited<ReturnType<typeof startEngine>>
  const lines: string[] = []

  beforeAll(async () => {
    engine = await startEngine({ model: embedded, device: 'cpu', log: (line) => lines.push(line) })
  })
  afterAll(() => engine.stop())

  it('knows the model', () => {
    expect(engine.model).toMatchObject({
      name: 'emoji',
      hash: expect.stringMatching(/^[0-9a-f]{10}$/),
      scheduler: 'DDIMScheduler',
      width: 128,
      height: 128,
      usesGuidance: true,
    })
  })

  it('makes the same bytes again, alone and beside others, and says in them how', async () => {
    const four = await engine.generateImages({ ...request, images: images(1, 2, 3, 4) })
    const [alone] = await engine.generateImages({ ...request, images: images(3) })
    expect(four).toHaveLength(4)
    expect(four[2]!.png).toEqual(alone!.png)
    expect(new Set(four.map(({ png }) => Buffer.from(png).toString('base64'))).size).toBe(4)
    expect(await sharp(alone!.png).metadata()).toMatchObject({ format: 'png', width: 64, height: 64 })
    expect(parseParameters(readPngText(alone!.png, 'parameters')!)).toMatchObject({
      prompt: 'a red apple',
      seed: 3,
      numInferenceSteps: 3,
      modelHash: engine.model.hash,
    })
  })

  it('turns the noise towards each variation in order', async () => {
    const first = { seed: 2, strength: 0.3 }
    const second = { seed: 3, strength: 0.3 }
    const made = await engine.generateImages({
      ...request,
      images: [
        [],
        [first],
        [first, second],
        [second, first],
        [{ seed: 2, strength: 0 }],
        [{ seed: 2, strength: 1 }],
      ].map((variations) => ({ seed: 1, variations })),
    })
    const [parent, child, grandchild, otherOrder, unmoved, moved] = await Promise.all(
      made.map(({ png }) => pixels(png)),
    )
    const distance = (a: Buffer, b: Buffer) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0)
    const stranger = await engine.generateImages({ ...request, images: images(2) })
    expect(unmoved).toEqual(parent)
    expect(moved).toEqual(await pixels(stranger[0]!.png))
    expect(distance(parent!, child!)).toBeGreaterThan(0)
    expect(distance(parent!, child!)).toBeLessThan(distance(parent!, moved!))
    expect(distance(child!, grandchild!)).toBeGreaterThan(0)
    expect(distance(grandchild!, otherOrder!)).toBeGreaterThan(0)
    const again = await engine.generateImages({ ...request, images: [{ seed: 1, variations: [first, second] }] })
    expect(again[0]!.png).toEqual(made[2]!.png)
  })

  it('enlarges, and keeps the drawing', async () => {
    const [plain] = await engine.generateImages(request)
    const [large] = await engine.generateImages({ ...request, upscale: 4 })
    expect(large).toMatchObject({ width: 256, height: 256 })
    const shrunk = await sharp(large!.png).resize(64, 64).raw().toBuffer()
    const drawn = await pixels(plain!.png)
    const mean = drawn.reduce((sum, value, i) => sum + Math.abs(value - shrunk[i]!), 0) / drawn.length
    expect(mean).toBeLessThan(4)
  })

  it('tells each step and shows what is coming', async () => {
    const seen: EngineProgress[] = []
    await engine.generateImages(
      { ...request, images: images(1, 2, 3, 4) },
      { onProgress: (progress) => seen.push(progress) },
    )
    expect(seen.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, index) => index + 1))
    expect(new Set(seen.map(({ steps }) => steps))).toEqual(new Set([12]))
    const preview = seen.findLast((progress) => progress.preview)?.preview
    const { format, width, height } = await sharp(preview!).metadata()
    expect({ format, width, height }).toEqual({ format: 'png', width: 128, height: 128 })
  })

  it('stops a cancelled request at its next step and goes on with the next', async () => {
    const stop = new AbortController()
    let steps = 0
    const cancelled = engine.generateImages(
      { ...request, numInferenceSteps: 100, images: images(1, 2, 3, 4) },
      {
        signal: stop.signal,
        onProgress: () => {
          if (++steps === 2) stop.abort(new Error('no longer wanted'))
        },
      },
    )
    const waiting = engine.generateImages(request, { signal: AbortSignal.abort(new Error('never wanted')) })
    await expect(waiting).rejects.toThrow('never wanted')
    await expect(cancelled).rejects.toThrow('no longer wanted')
    expect(await engine.generateImages(request)).toHaveLength(1)
    expect(steps).toBeLessThan(20)
  })

  it('leaves nothing at a signal that outlives its requests', async () => {
    const { signal } = new AbortController()
    const short = { ...request, numInferenceSteps: 1 }
    await Promise.all([1, 2, 3].map(() => engine.generateImages(short, { signal })))
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('says what is wrong with a request, and lives on', async () => {
    await expect(engine.generateImages({ ...request, width: 63 })).rejects.toMatchObject({
      name: 'EngineError',
      code: 'argument',
      message: expect.stringContaining('width'),
    })
    expect(await engine.generateImages(request)).toHaveLength(1)
  })

  it('is started again after it was killed in the middle, and makes the very same', async () => {
    const before = await engine.generateImages(request)
    const { pid } = engine
    const killed = engine.generateImages(
      { ...request, numInferenceSteps: 100 },
      { onProgress: ({ step }) => step === 2 && process.kill(pid!, 'SIGKILL') },
    )
    const next = engine.generateImages(request)
    await expect(killed).rejects.toMatchObject({ name: 'EngineError', code: 'crashed' })
    expect(await next).toEqual(before)
    expect(engine.pid).not.toBe(pid)
    expect(lines).toEqual(['The engine ended (SIGKILL); the next picture starts it again.'])
  })
})

describe.runIf(process.platform === 'linux')('the environment of the engine', () => {
  it('has what a model needs, and no secret but the hub’s', async () => {
    const needed = {
      HF_TOKEN: 'hf_given',
      HF_HOME: '/tmp/hub',
      HTTPS_PROXY: 'http://proxy.example',
      no_proxy: 'localhost',
      CUDA_VISIBLE_DEVICES: '0',
      ORT_LOGGING: '1',
      VK_ICD_FILENAMES: '/icd.json',
      LD_LIBRARY_PATH: '/opt/lib',
      XDG_CACHE_HOME: '/tmp/cache',
      SEEDLING_SOMETHING_NEW: '1',
    }
    const private_ = {
      AWS_ACCESS_KEY_ID: 'private',
      AWS_SECRET_ACCESS_KEY: 'private',
      DATABASE_URL: 'postgres://private',
      OPENAI_API_KEY: 'private',
      NVIDIA_API_KEY: 'private',
      DISCORD_TOKEN: 'private',
      SLACK_SIGNING_SECRET: 'private',
      REDIS_URL: 'redis://:private@localhost',
      SEEDLING_PAGE_PASSWORD: 'private',
      NPM_CONFIG__AUTH: 'private',
      GITHUB_TOKEN: 'private',
      MY_NOTES: 'private',
    }
    const script = `
      import { startEngine } from ${JSON.stringify(host)}
      const engine = await startEngine({ model: ${JSON.stringify(embedded)}, device: 'cpu' })
      console.log(engine.pid)
      process.stdin.once('end', () => engine.stop()).resume()`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...needed, ...private_ },
    })
    const [pid] = await once(createInterface(parent.stdout), 'line')
    const given = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0')
    parent.stdin.end()
    await once(parent, 'exit')
    for (const [name, value] of Object.entries(needed)) {
      // More folders may stand behind the given ones.
      expect(
        given.some((entry) => entry.startsWith(`${name}=${value}`)),
        name,
      ).toBe(true)
    }
    expect(given).toContain('MALLOC_TRIM_THRESHOLD_=65536')
    expect(given.filter((entry) => entry.includes('private'))).toEqual([])
  })
})

describe.runIf(process.platform !== 'win32')('an engine that stands still', () => {
  async function startStill(lines: string[]) {
    // Long enough for any machine to take a step.
    const engine = await startEngine({ model: embedded, device: 'cpu', timeout: 5, log: (line) => lines.push(line) })
    onTestFinished(() => engine.stop())
    return engine
  }

  it('in the middle of a picture is ended, and another one draws the next', async () => {
    const lines: string[] = []
    const engine = await startStill(lines)
    const before = await engine.generateImages(request)
    const { pid } = engine
    const frozen = engine.generateImages(
      { ...request, numInferenceSteps: 100 },
      { onProgress: ({ step }) => step === 2 && process.kill(pid!, 'SIGSTOP') },
    )
    await expect(frozen).rejects.toMatchObject({ code: 'crashed', message: expect.stringContaining('no sign of life') })
    expect(await engine.generateImages(request)).toEqual(before)
    expect(engine.pid).not.toBe(pid)
    expect(lines).toEqual(['The engine ended (no sign of life for 5 s); the next picture starts it again.'])
    expect(() => process.kill(pid!, 0)).toThrow(/ESRCH/)
  })

  it('is ended after a cancel, too: the next request goes to another one and is none the worse for it', async () => {
    const lines: string[] = []
    const engine = await startStill(lines)
    const before = await engine.generateImages(request)
    const { pid } = engine
    const cancel = new AbortController()
    const cancelled = engine.generateImages(
      { ...request, numInferenceSteps: 100 },
      {
        signal: cancel.signal,
        onProgress: () => {
          process.kill(pid!, 'SIGSTOP')
          cancel.abort(new Error('no longer wanted'))
        },
      },
    )
    await expect(cancelled).rejects.toThrow('no longer wanted')
    expect(await engine.generateImages(request)).toEqual(before)
    expect(engine.pid).not.toBe(pid)
    expect(lines).toHaveLength(1)
  })

  it('while its model is loaded is ended, too', async () => {
    const script = `
      import { startEngine } from ${JSON.stringify(host)}
      await startEngine({ model: ${JSON.stringify(embedded)}, device: 'cpu', timeout: 0.001 })
        .catch((error) => console.log(error.message))`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(createInterface(parent.stdout), 'line')
    expect(line).toMatch(/no sign of life/)
    await once(parent, 'exit')
  })
})

describe('a model for images in and out', () => {
  it.each([
    ['whose UNet sees a mask', 'tiny-inpaint', 'StableDiffusionInpaintPipeline'],
    ['whose UNet sees none', 'tiny-sd1', 'StableDiffusionImg2ImgPipeline'],
  ])('draws from text alone: one %s', async (_, name, className) => {
    const model = tinyPipeline(name)
    const index = JSON.parse(await readFile(join(model, 'model_index.json'), 'utf8'))
    await writeFile(join(model, 'model_index.json'), JSON.stringify({ ...index, _class_name: className }))
    const engine = await startEngine({ model, device: 'cpu' })
    const [one, again, other] = await engine.generateImages({ ...request, images: images(1, 1, 2) })
    await engine.stop()
    expect(again!.png).toEqual(one!.png)
    expect(other!.png).not.toEqual(one!.png)
  })
})

describe('a model whose layers can be skipped', () => {
  it('counts them as AUTOMATIC1111 does: 2 is diffusers’ clip skip of 1', async () => {
    const model = tinyPipeline('tiny-sd1')
    const engine = await startEngine({ model, device: 'cpu', log: () => undefined })
    onTestFinished(() => engine.stop())
    expect(engine.model).toMatchObject({ clipSkip: 1, maxClipSkip: 2 })
    const [made] = await engine.generateImages({ ...request, clipSkip: 2 })
    const pipe = await StableDiffusionPipeline.fromPretrained(model, { device: 'cpu' })
    const { images } = await pipe.generate({
      prompt: request.prompt,
      numInferenceSteps: request.numInferenceSteps,
      guidanceScale: request.guidanceScale,
      width: request.width,
      height: request.height,
      promptWeighting: true,
      clipSkip: 1,
      generator: new Generator(1),
    })
    expect(await pixels(made!.png)).toEqual(await pixels(images[0]!))
    const { hash } = engine.model
    const again = await startEngine({ model, device: 'cpu', log: () => undefined })
    onTestFinished(() => again.stop())
    expect(again.model.hash).toBe(hash)
  })

  it('starts from what SDXL reads, its last layer but one', async () => {
    const engine = await startEngine({ model: tinyPipeline('tiny-sdxl'), device: 'cpu', log: () => undefined })
    onTestFinished(() => engine.stop())
    expect(engine.model).toMatchObject({ clipSkip: 2, maxClipSkip: 2 })
  })
})

describe('an engine that ends', () => {
  it('rejects what it was asked and leaves no process', async () => {
    const engine = await startEngine({ model: embedded, device: 'cpu' })
    const { pid } = engine
    const asked = engine.generateImages({ ...request, numInferenceSteps: 100 })
    const waiting = engine.generateImages(request)
    const stopped = engine.stop()
    await expect(asked).rejects.toMatchObject({ code: 'crashed', message: expect.stringContaining('stopped') })
    await expect(waiting).rejects.toMatchObject({ code: 'crashed' })
    await stopped
    expect(() => process.kill(pid!, 0)).toThrow(/ESRCH/)
    await expect(engine.generateImages(request)).rejects.toMatchObject({ code: 'crashed' })
  })

  it('ends with a parent that is killed in the middle of a run', async () => {
    const long = { ...request, numInferenceSteps: 1000, images: images(1, 2, 3, 4) }
    const script = `
      import { startEngine } from ${JSON.stringify(host)}
      const engine = await startEngine({ model: ${JSON.stringify(embedded)}, device: 'cpu' })
      engine.generateImages(${JSON.stringify(long)}, { onProgress: () => console.log('a step') })`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(createInterface(parent.stdout), 'line')
    parent.kill('SIGKILL')
    // The child holds the same pipe, which closes when the last of the two has ended; its work would last for minutes.
    await once(parent, 'close')
  })
})

describe('an engine that crashes again and again', () => {
  it('says so, pauses, and can be given up on meanwhile', async () => {
    const lines: string[] = []
    const model = tinyPipeline('tiny-sd1')
    const engine = await startEngine({ model, device: 'cpu', log: (line) => lines.push(line) })
    const long = { ...request, numInferenceSteps: 500 }
    const crash = () =>
      engine.generateImages(long, { onProgress: ({ step }) => step === 1 && process.kill(engine.pid!, 'SIGKILL') })
    await expect(crash()).rejects.toMatchObject({ code: 'crashed' })
    await rm(join(model, 'unet/model.onnx'))
    await expect(engine.generateImages(request)).rejects.toMatchObject({ code: 'model' })
    expect(lines).toEqual([
      'The engine ended (SIGKILL); the next picture starts it again.',
      expect.stringMatching(/could not be started again: .*unet.*, 2 times in a row; .* after a pause of 1 s\.$/),
    ])
    const waiting = engine.generateImages(request)
    const givenUp = new AbortController()
    const cancelled = engine.generateImages(request, { signal: givenUp.signal })
    givenUp.abort(new Error('no longer wanted'))
    await expect(cancelled).rejects.toThrow('no longer wanted')
    await engine.stop()
    await expect(waiting).rejects.toThrow('The engine was stopped')
  })
})

describe('a model that cannot be loaded', () => {
  it.each([
    ['no folder', (model: string) => rm(model, { recursive: true }), /no folder/],
    ['no index', (model: string) => rm(join(model, 'model_index.json')), /model_index\.json/],
    ['no unet', (model: string) => rm(join(model, 'unet/model.onnx')), /unet/],
    ['no tokenizer', (model: string) => rm(join(model, 'tokenizer'), { recursive: true }), /tokenizer/],
    ['half a unet', (model: string) => truncate(join(model, 'unet/model.onnx'), 100_000), /unet.*download/],
    ['bad json', (model: string) => writeFile(join(model, 'scheduler/scheduler_config.json'), '{'), /scheduler_config/],
  ])('is named in one sentence: %s', async (_, damage, sentence) => {
    const model = tinyPipeline('tiny-sd1')
    await damage(model)
    const error = await startEngine({ model, device: 'cpu' }).catch((error) => error)
    expect(error).toMatchObject({ name: 'EngineError', code: 'model', message: expect.stringMatching(sentence) })
    expect(error.message).not.toContain('\n')
  })

  it('gives up when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('not now'))
    await expect(startEngine({ model: embedded, signal })).rejects.toThrow('not now')
  })
})
