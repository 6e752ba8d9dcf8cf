import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type DownloadOptions, downloadModel } from '../../src/engine/hub/download.ts'
import { neededFiles } from '../../src/engine/hub/files.ts'
import { parseHubId } from '../../src/engine/hub/hub-id.ts'
import { openPartWeights } from '../../src/engine/weights/part-weights.ts'
import { openWeightFile } from '../../src/engine/weights/weight-file.ts'
import { type FakeHub, startFakeHub } from './fake-hub.ts'
import { repositoryFolder, STABLE_DIFFUSION_V1_4, WAIFU_DIFFUSION } from './hub-repositories.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

const CONFIGS = [
  'feature_extractor/preprocessor_config.json',
  'model_index.json',
  'safety_checker/config.json',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'tokenizer/merges.txt',
  'tokenizer/special_tokens_map.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/vocab.json',
  'unet/config.json',
  'vae/config.json',
]

const safetensors = (mark: string) => [
  `safety_checker/model${mark}.safetensors`,
  `text_encoder/model${mark}.safetensors`,
  `unet/diffusion_pytorch_model${mark}.safetensors`,
  `vae/diffusion_pytorch_model${mark}.safetensors`,
]

describe('PyTorch’s models on the hub', () => {
  let hub: FakeHub
  let cache: string
  let notices: string[]

  const download = (model: string, options: Partial<DownloadOptions> = {}) =>
    downloadModel(parseHubId(model)!, {
      dtype: 'auto',
      onGpu: false,
      onProgress: () => {},
      onNotice: (message) => notices.push(message),
      ...options,
    })
  const start = async (name: string, branches: Readonly<Record<string, readonly string[]>>) => {
    const { main = [], ...others } = branches
    const folders = Object.entries(others).map(([branch, paths]) => [branch, repositoryFolder(paths)])
    hub = await startFakeHub(name, repositoryFolder(main), Object.fromEntries(folders))
    vi.stubEnv('HF_ENDPOINT', hub.url)
  }
  /** What was asked for, without the questions about lengths. */
  const fetched = () =>
    [...new Set(hub.requests.flatMap(({ path }) => /\/resolve\/\w+\/(.*)/.exec(path)?.[1] ?? []))].sort()

  beforeEach(() => {
    cache = temporaryFolder()
    notices = []
    vi.stubEnv('HF_HUB_CACHE', cache)
    vi.stubEnv('HF_TOKEN', '')
    vi.stubEnv('HF_HOME', temporaryFolder())
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    await hub.close()
  })

  describe('CompVis/stable-diffusion-v1-4', () => {
    const NAME = 'CompVis/stable-diffusion-v1-4'
    beforeEach(() => start(NAME, STABLE_DIFFUSION_V1_4))

    it('at revision fp16 is the half weights there, under their plain names', async () => {
      const { path: folder } = await download(NAME, { revision: 'fp16' })
      expect(fetched()).toEqual([...CONFIGS, ...safetensors('')].sort())
      expect(folder).toContain(hub.commits.get('fp16'))
      expect(readFileSync(join(cache, 'models--CompVis--stable-diffusion-v1-4', 'refs', 'fp16'), 'utf8')).toBe(
        hub.commits.get('fp16'),
      )
      expect(openPartWeights(join(folder, 'unet')).weights.get('F16')?.shape).toEqual([2, 3])
      expect(notices).toEqual([])
    })

    it('is its float32 weights by itself, and the half ones where they are wanted', async () => {
      await download(NAME)
      expect(fetched()).toEqual([...CONFIGS, ...safetensors('')].sort())
      hub.requests.length = 0
      for (const options of [{ variant: 'fp16' }, { dtype: 'fp16' }, { onGpu: true }] as const)
        await download(NAME, options)
      expect(fetched()).toEqual(safetensors('.fp16'))
    })

    it('has its training weights where they are named', async () => {
      await download(NAME, { variant: 'non_ema' })
      const wanted = [...CONFIGS, ...safetensors('')].map((path) =>
        path.replace(/^unet\/(\w+)\.saf/, 'unet/$1.non_ema.saf'),
      )
      expect(fetched()).toEqual(wanted.sort())
    })

    it('names the variants that there are', async () => {
      await expect(download(NAME, { variant: 'fp61' })).rejects.toThrow(
        'CompVis/stable-diffusion-v1-4 has no variant fp61: it has fp16, non_ema; give another `variant`, or none.',
      )
    })

    it('without its branch is the variant of the main one, and says so', async () => {
      await hub.close()
      await start(NAME, { main: STABLE_DIFFUSION_V1_4.main })
      const { path: folder } = await download(NAME, { revision: 'fp16' })
      expect(fetched()).toEqual([...CONFIGS, ...safetensors('.fp16')].sort())
      expect(notices).toEqual([`${NAME} has no revision fp16; its variant fp16 is used.`])
      vi.stubEnv('HF_HUB_OFFLINE', '1')
      expect(await download(NAME, { revision: 'fp16' })).toEqual({ path: folder, variant: 'fp16' })
    })

    it('of Flax alone is refused', async () => {
      await expect(download(NAME, { revision: 'flax' })).rejects.toThrow(/holds no model that can be opened: neither/)
      expect(fetched()).toEqual([])
    })
  })

  describe('hakurei/waifu-diffusion', () => {
    const NAME = 'hakurei/waifu-diffusion'
    beforeEach(() => start(NAME, WAIFU_DIFFUSION))

    it('is its folder, and none of the checkpoints beside it', async () => {
      const { path: folder } = await download(NAME)
      expect(fetched()).toEqual([...CONFIGS, ...safetensors('')].sort())
      for (const part of ['unet', 'vae', 'text_encoder', 'safety_checker'])
        expect(openPartWeights(join(folder, part)).weights.get('F32')?.shape).toEqual([2, 3])
    })

    it('gives one of its files where that is named, from a folder in it and by its address too', async () => {
      const { path } = await download(`${NAME}/wd-v1-3-float16.ckpt`)
      expect(fetched()).toEqual(['wd-v1-3-float16.ckpt'])
      expect(openWeightFile(path).metadata.get('global_step')).toBe('875000')
      const { path: inFolder } = await download(`${NAME}/safetensors/wd-v1-3-float16.safetensors`)
      expect(relative(cache, inFolder).split(sep).slice(-2)).toEqual(['safetensors', 'wd-v1-3-float16.safetensors'])
      expect(
        await download(`https://huggingface.co/${NAME}/blob/main/wd-v1-3-float16.ckpt?download=true`),
      ).toMatchObject({ path })
      vi.stubEnv('HF_HUB_OFFLINE', '1')
      expect(await download(`${NAME}/wd-v1-3-float16.ckpt`)).toMatchObject({ path })
      await expect(download(`${NAME}/wd-v1-3-full.ckpt`)).rejects.toThrow(
        /is not in the cache and HF_HUB_OFFLINE is set/,
      )
    })

    it('names the checkpoints that there are', async () => {
      await expect(download(`${NAME}/wd-v1-4.ckpt`)).rejects.toThrow(
        /has no file wd-v1-4\.ckpt at that revision: it has .*wd-v1-3-float16\.ckpt.* and \d+ more; check the name\./,
      )
    })
  })

  it('a broken download is taken up again, and a damaged one is not kept', async () => {
    const large = Buffer.concat([
      readFileSync(join(repositoryFolder(['a.safetensors']), 'a.safetensors')),
      Buffer.alloc(300_000),
    ])
    const folder = repositoryFolder([], undefined)
    writeFileSync(join(folder, 'large.safetensors'), large)
    hub = await startFakeHub('org/one', folder)
    vi.stubEnv('HF_ENDPOINT', hub.url)
    let half = () => {}
    hub.breakOnce('large.safetensors', 200_000, new Promise((resolve) => (half = resolve)))
    const { path } = await download('org/one', { onProgress: (_, loaded) => loaded > 100_000 && half() })
    expect(readFileSync(path).equals(large)).toBe(true)
    expect(hub.requests.map(({ range }) => range)).toContainEqual(expect.stringMatching(/^bytes=[1-9]\d*-\d+$/))
    await hub.close()

    hub = await startFakeHub('org/two', folder)
    vi.stubEnv('HF_ENDPOINT', hub.url)
    hub.damage('large.safetensors')
    await expect(download('org/two')).rejects.toThrow(/large\.safetensors of org\/two arrived damaged/)
  })
})

describe('neededFiles of PyTorch’s models', () => {
  const needed = (paths: readonly string[], options: Partial<Parameters<typeof neededFiles>[2]> = {}) => {
    const { files, entry } = neededFiles(
      'org/name',
      paths.map((path) => ({ path })),
      { dtype: 'auto', onGpu: false, ...options },
    )
    return { files: files.map(({ path }) => path), entry }
  }
  const INDEX = 'model_index.json'
  const unet = (name: string) => `unet/diffusion_pytorch_model${name}`

  it('takes graphs before PyTorch’s files, unless a variant is named', () => {
    const files = [INDEX, 'unet/model.onnx', unet('.safetensors'), unet('.fp16.safetensors')]
    expect(needed(files).files).toEqual([INDEX, 'unet/model.onnx'])
    expect(needed(files, { variant: 'fp16' }).files).toEqual([INDEX, unet('.fp16.safetensors')])
  })

  it('takes shards with their index, and a part in PyTorch’s form where that is all', () => {
    const shards = [
      unet('-00001-of-00002.safetensors'),
      unet('-00002-of-00002.safetensors'),
      unet('.safetensors.index.json'),
    ]
    const files = [INDEX, ...shards, unet('.bin'), 'text_encoder/pytorch_model.bin', 'vae/diffusion_pytorch_model.bin']
    expect(needed(files).files.sort()).toEqual(
      [INDEX, ...shards, 'text_encoder/pytorch_model.bin', 'vae/diffusion_pytorch_model.bin'].sort(),
    )
  })

  it("takes SDXL's VAE in float32 where nothing else is said", () => {
    const parts = ['unet', 'vae'].flatMap((part) =>
      ['', '.fp16'].map((mark) => `${part}/diffusion_pytorch_model${mark}.safetensors`),
    )
    const files = [
      INDEX,
      ...parts,
      'text_encoder_2/model.fp16.safetensors',
      'sd_xl_base_1.0.safetensors',
      'vae_1_0/diffusion_pytorch_model.safetensors',
    ]
    expect(needed(files, { onGpu: true }).files).toEqual([
      INDEX,
      unet('.fp16.safetensors'),
      'vae/diffusion_pytorch_model.safetensors',
      'text_encoder_2/model.fp16.safetensors',
    ])
    expect(needed(files, { variant: 'fp16' }).files).toContain('vae/diffusion_pytorch_model.fp16.safetensors')
  })

  it('takes a ControlNet’s repository', () => {
    const files = [
      'README.md',
      'config.json',
      'diffusion_pytorch_model.bin',
      'diffusion_pytorch_model.safetensors',
      'control.png',
    ]
    expect(needed(files)).toEqual({ files: ['config.json', 'diffusion_pytorch_model.safetensors'], entry: '' })
  })

  it('takes the only checkpoint, in safetensors, and asks which where there are several', () => {
    expect(needed(['README.md', 'a.ckpt', 'a.safetensors', 'a.yaml'])).toEqual({
      files: ['a.safetensors'],
      entry: 'a.safetensors',
    })
    expect(() => needed(['a.ckpt', 'b.safetensors'])).toThrow(
      "org/name holds 2 files and no pipeline's folder: a.ckpt, b.safetensors; give one of them, as org/name/a.ckpt.",
    )
  })

  it.each<[string, string[], RegExp]>([
    ['nothing', ['README.md'], /holds no model that can be opened/],
    ['graphs without their index', ['unet/model.onnx'], /holds no model that can be opened/],
    [
      'a transformer',
      [INDEX, 'transformer/config.json', 'flux1-dev.safetensors'],
      /is a pipeline with a transformer and no UNet/,
    ],
  ])('refuses %s', (_, files, sentence) => {
    expect(() => needed(files)).toThrow(
      expect.objectContaining({ code: 'model', message: expect.stringMatching(sentence) }),
    )
  })
})

describe('parseHubId', () => {
  it.each([
    ['org/name', { name: 'org/name' }],
    ['org/name.with-dots_1', { name: 'org/name.with-dots_1' }],
    ['org/name/a.safetensors', { name: 'org/name', file: 'a.safetensors' }],
    ['org/name/deep/er/Model (1) [x] é.ckpt', { name: 'org/name', file: 'deep/er/Model (1) [x] é.ckpt' }],
    ['https://huggingface.co/org/name', { name: 'org/name' }],
    ['https://huggingface.co/org/name/', { name: 'org/name' }],
    ['https://hf.co/org/name/tree/fp16', { name: 'org/name', revision: 'fp16' }],
    [
      'https://huggingface.co/org/name/resolve/main/a%20b.ckpt?download=true',
      { name: 'org/name', revision: 'main', file: 'a b.ckpt' },
    ],
  ])('%s', (model, id) => {
    expect(parseHubId(model)).toEqual(id)
  })

  it.each([
    'name',
    './models',
    '../name',
    '/org/name',
    'org//name',
    'org/name/',
    'org/name/unet',
    'org/name/../x.ckpt',
    'org/name//x.ckpt',
    'org/na--me',
    'C:\\models\\x.ckpt',
    'org\\name',
    'org/name/a?b.ckpt',
    'https://example.com/org/name',
    'https://huggingface.co/org/name/blob/main/%2e%2e%2fx.ckpt',
    'https://huggingface.co/datasets/org/name',
    '',
  ])('%j is none', (model) => {
    expect(parseHubId(model)).toBeUndefined()
  })
})
