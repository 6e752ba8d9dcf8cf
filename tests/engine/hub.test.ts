import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { neededFiles } from '../../src/engine/hub/files.ts'
import { Generator, type LoadProgress, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { type FakeHub, startFakeHub } from './fake-hub.ts'
import { ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const NAME = 'seedling/tiny-sd1'

describe('fromPretrained on a hub', () => {
  let hub: FakeHub
  let cache: string
  let progress: LoadProgress[]
  const open = (options = {}) =>
    StableDiffusionPipeline.fromPretrained(NAME, { ...ON_CPU, onProgress: (one) => progress.push(one), ...options })
  const repository = () => join(cache, 'models--seedling--tiny-sd1')

  beforeEach(async () => {
    const folder = tinyPipeline('tiny-sd1')
    writeFileSync(join(folder, 'unet', 'diffusion_pytorch_model.safetensors'), 'PyTorch’s weights, of no use here')
    writeFileSync(join(folder, 'README.md'), '# A model card')
    hub = await startFakeHub(NAME, folder)
    cache = temporaryFolder()
    progress = []
    vi.stubEnv('HF_ENDPOINT', hub.url)
    vi.stubEnv('HF_HUB_CACHE', cache)
    vi.stubEnv('HF_TOKEN', 'hf_secret')
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    await hub.close()
  })

  it('fetches what a pipeline needs into the standard cache, once, and tells how far it is', async () => {
    const pipe = await open()
    const { images } = await pipe.generate({ prompt: 'a cat', numInferenceSteps: 1, generator: new Generator(1) })
    expect(images).toHaveLength(1)

    const snapshot = join(repository(), 'snapshots', hub.commit)
    expect(readFileSync(join(repository(), 'refs', 'main'), 'utf8')).toBe(hub.commit)
    expect(existsSync(join(snapshot, 'unet', 'model.onnx'))).toBe(true)
    expect(readlinkSync(join(snapshot, 'unet', 'model.onnx'))).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/)
    expect(existsSync(join(snapshot, 'unet', 'diffusion_pytorch_model.safetensors'))).toBe(false)
    expect(existsSync(join(snapshot, 'README.md'))).toBe(false)
    const unet = progress.filter((one) => one.status === 'download' && one.file === 'unet/model.onnx')
    expect(unet.at(-1)).toMatchObject({ loaded: 1273568, total: 1273568 })
    expect(hub.requests.every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(true)

    hub.requests.length = 0
    const ref = join(repository(), 'refs', 'main')
    utimesSync(ref, 1, 1)
    await open()
    expect(hub.requests.filter(({ path }) => path.includes('/resolve/'))).toEqual([])
    expect(statSync(ref).mtimeMs).toBe(1000)
  })

  it('shows its token to the hub alone, not to the stores that it redirects to', async () => {
    hub.moveToStore('unet/model.onnx')
    await open()
    const shown = (store: boolean) =>
      hub.requests
        .filter(({ host }) => host.startsWith('localhost') === store)
        .map(({ authorization }) => authorization)
    expect(new Set(shown(true))).toEqual(new Set([undefined]))
    expect(new Set(shown(false))).toEqual(new Set(['Bearer hf_secret']))
  })

  it.each([
    ['HF_TOKEN', 'hf_secret\nsecret'],
    ['HF_TOKEN', 'secret'],
    ['HF_ENDPOINT', 'http://me:secret@127.0.0.1:1'],
    ['HF_ENDPOINT', 'huggingface.co/secret'],
  ])('says that %s is wrong without showing it', async (name, value) => {
    vi.stubEnv(name, value)
    const error = await open().catch((one: unknown) => one)
    expect(error).toMatchObject({ name: 'EngineError', code: 'argument', message: expect.stringContaining(name) })
    expect(inspect(error)).not.toContain('secret')
  })

  it('fetches nothing for a dtype or a device that does not exist', async () => {
    await expect(open({ dtype: 'fp8' })).rejects.toThrow(/There is no dtype "fp8"; choose one of auto, fp32, fp16/)
    await expect(open({ device: 'gpu' })).rejects.toThrow(/There is no device "gpu"/)
    expect(hub.requests).toEqual([])
  })

  it('takes up a broken download where it broke off', async () => {
    let half = () => {}
    hub.breakOnce('text_encoder/model.onnx', 1_000_000, new Promise((resolve) => (half = resolve)))
    const onProgress = (one: LoadProgress) => {
      if (one.status === 'download' && one.file === 'text_encoder/model.onnx' && one.loaded > 500_000) half()
    }
    await open({ onProgress })
    const ranges = hub.requests.filter(({ path }) => path.endsWith('text_encoder/model.onnx')).map(({ range }) => range)
    const resumed = ranges.find((range) => range !== undefined && range !== 'bytes=0-0')
    expect(Number(/^bytes=(\d+)-3247878$/.exec(resumed!)?.[1])).toBeGreaterThan(0)
  })

  it('several at once fetch into one cache', async () => {
    await Promise.all([open(), open(), open()])
    expect(readdirSync(join(repository(), 'blobs')).filter((name) => name.endsWith('.incomplete'))).toEqual([])
  })

  it('keeps no file whose checksum is wrong', async () => {
    hub.damage('vae_decoder/model.onnx')
    await expect(open()).rejects.toThrow(/vae_decoder\/model\.onnx of seedling\/tiny-sd1 arrived damaged/)
    expect(readdirSync(join(repository(), 'blobs')).filter((name) => name.endsWith('.incomplete'))).toEqual([])
    expect(existsSync(join(repository(), 'snapshots', hub.commit, 'vae_decoder', 'model.onnx'))).toBe(false)
  })

  it('uses the cache when the hub is away, and says so', async () => {
    await open()
    await hub.close()
    await open()
    expect(progress).toContainEqual({
      status: 'notice',
      message: expect.stringMatching(/cannot be reached; using the copy/),
    })
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    await expect(open({ revision: 'onnx' })).rejects.toThrow(/not in the cache and HF_HUB_OFFLINE is set/)
  })

  it('names a revision that is not there, and refuses one that leaves the cache', async () => {
    await expect(open({ revision: 'absent' })).rejects.toThrow(/no model seedling\/tiny-sd1 with the revision absent/)
    await expect(open({ revision: 'a/../../b' })).rejects.toThrow(/`revision` has to be a branch/)
  })
})

describe('neededFiles', () => {
  const paths = (...names: string[]) => names.map((path) => ({ path }))
  const needed = (files: { path: string }[], onGpu: boolean) =>
    neededFiles('org/name', files, { dtype: 'auto', onGpu }).files.map(({ path }) => path)

  it('takes one precision of a part, with its weights, whatever they are called', () => {
    const files = paths(
      'model_index.json',
      'unet/model.onnx',
      'unet/model.onnx_data',
      'unet/model.onnx_data_1',
      'unet/model_fp16.onnx',
      'unet/model_fp16.onnx_data',
      'unet/config.json',
      'unet/diffusion_pytorch_model.bin',
      'text_encoder/model.onnx',
      'text_encoder/weights.pb',
      'text_encoder/onnx__MatMul_1234',
      'text_encoder/deep/model.onnx',
    )
    expect(needed(files, false)).toEqual([
      'model_index.json',
      'unet/config.json',
      'unet/model.onnx',
      'unet/model.onnx_data',
      'unet/model.onnx_data_1',
      'text_encoder/model.onnx',
      'text_encoder/weights.pb',
      'text_encoder/onnx__MatMul_1234',
    ])
    expect(needed(files, true).slice(2, 4)).toEqual(['unet/model_fp16.onnx', 'unet/model_fp16.onnx_data'])
  })

  it("takes SDXL's VAE in float32, where there is one", () => {
    const parts = ['unet', 'vae_decoder', 'text_encoder_2'].map((part) => `${part}/model_fp16.onnx`)
    const files = ['model_index.json', ...parts]
    expect(needed(paths(...files), true)).toEqual(files)
    expect(needed(paths(...files, 'vae_decoder/model.onnx', 'unet/model.onnx'), true)).toEqual([
      'model_index.json',
      'unet/model_fp16.onnx',
      'vae_decoder/model.onnx',
      'text_encoder_2/model_fp16.onnx',
    ])
  })
})
