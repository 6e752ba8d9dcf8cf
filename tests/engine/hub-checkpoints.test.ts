/** The two models of diffusers' best-known examples, opened from the hub by their names, as everybody's scripts do. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { type FakeHub, startFakeHub } from './fake-hub.ts'
import { type Content, repositoryFolder, STABLE_DIFFUSION_V1_4, WAIFU_DIFFUSION } from './hub-repositories.ts'
import {
  CHECKPOINTS,
  type Dtype,
  modelNamed,
  numbers,
  partNamed,
  singleFileTensors,
  type TinyTensors,
  tensorsOf,
  tinyFile,
  withDtype,
} from './tiny-checkpoint.ts'
import { compare, FIXTURES, ON_CPU, readNpy, temporaryFolder } from './tiny-pipeline.ts'
import { torchArchive } from './weights/torch-archive.ts'

const { index, scheduler, parts } = modelNamed('sd1')

const CHECKER = fileURLToPath(new URL('../fixtures/written-graphs/safety-checker.json', import.meta.url))

const checker = JSON.parse(readFileSync(CHECKER, 'utf8')) as {
  config: { vision_config: { image_size: number } }
  weights: Record<string, number[]>
}

/** Thresholds that no picture reaches. */
function checkerTensors(): TinyTensors {
  return new Map(
    Object.entries(checker.weights).map(([name, shape]) => {
      const data = numbers(name, shape, 3, 0)
      return [name, { shape, data: name.endsWith('_weights') ? data.fill(2) : data }]
    }),
  )
}

const CONFIGS: Readonly<Record<string, unknown>> = {
  'model_index.json': { ...index, safety_checker: ['stable_diffusion', 'StableDiffusionSafetyChecker'] },
  'scheduler/scheduler_config.json': scheduler,
  'feature_extractor/preprocessor_config.json': { crop_size: checker.config.vision_config.image_size },
  'safety_checker/config.json': checker.config,
  ...Object.fromEntries(Object.entries(parts).map(([part, of]) => [`${part}/config.json`, partNamed(of).config])),
}

/** The files of the tiny SD 1, whatever format a repository has them in. */
function tinyContent(dtypeOf: (path: string) => Dtype): Content {
  return (path) => {
    if (path in CONFIGS) return JSON.stringify(CONFIGS[path])
    const [folder = '', name = ''] = path.split('/')
    if (folder === 'tokenizer')
      return /^(?:merges|vocab)/.test(name) ? readFileSync(join(FIXTURES, 'clip-tokenizer', name)) : '{}'
    const of = parts[folder]
    if (!/\.(?:safetensors|bin)$/.test(name) || (of === undefined && folder !== 'safety_checker')) return undefined
    const tensors = withDtype(of === undefined ? checkerTensors() : tensorsOf(of), () => dtypeOf(path))
    return name.endsWith('.bin') ? torchArchive(tensors) : readFileSync(tinyFile(tensors))
  }
}

const half = (path: string): Dtype => (/\.fp16\./.test(path) ? 'F16' : 'F32')

describe('from the hub', () => {
  let hub: FakeHub
  const start = async (name: string, folder: string, others: Record<string, string> = {}) => {
    hub = await startFakeHub(name, folder, others)
    vi.stubEnv('HF_ENDPOINT', hub.url)
  }
  /** The difference to diffusers' picture of the same weights. */
  const difference = async (pipe: StableDiffusionPipeline, golden: string) => {
    const generator = new Generator(7)
    const args = { prompt: 'a red fox', negativePrompt: 'blurry', numInferenceSteps: 2, height: 32, width: 32 }
    const { images } = await pipe.generate({ ...args, generator, outputType: 'np' })
    return compare(images, readNpy(join(CHECKPOINTS, `${golden}.images.npy`))).difference
  }

  beforeEach(() => {
    vi.stubEnv('HF_HUB_CACHE', temporaryFolder())
    vi.stubEnv('HF_TOKEN', '')
    vi.stubEnv('HF_HOME', temporaryFolder())
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    await hub.close()
  })

  it("CompVis/stable-diffusion-v1-4 with revision 'fp16' draws what diffusers draws", async () => {
    const { main, fp16 } = STABLE_DIFFUSION_V1_4
    // The main branch lies there as it does on the real hub; nothing of it is asked for.
    await start('CompVis/stable-diffusion-v1-4', repositoryFolder(main), {
      fp16: repositoryFolder(
        fp16,
        tinyContent(() => 'F16'),
      ),
    })
    const pipe = await StableDiffusionPipeline.fromPretrained('CompVis/stable-diffusion-v1-4', {
      revision: 'fp16',
      ...ON_CPU,
    })
    expect(await difference(pipe, 'sd1-fp16')).toBeLessThan(1e-4)
  })

  it("and with variant 'fp16', whatever else of it is in the cache", async () => {
    const { main } = STABLE_DIFFUSION_V1_4
    await start('CompVis/stable-diffusion-v1-4', repositoryFolder(main, tinyContent(half)))
    const plain = await StableDiffusionPipeline.fromPretrained('CompVis/stable-diffusion-v1-4', ON_CPU)
    expect(await difference(plain, 'sd1-fp16')).toBeGreaterThan(2e-4)
    for (const options of [{ variant: 'fp16' }, { revision: 'fp16' }]) {
      const pipe = await StableDiffusionPipeline.fromPretrained('CompVis/stable-diffusion-v1-4', {
        ...ON_CPU,
        ...options,
        onProgress: () => {},
      })
      expect(await difference(pipe, 'sd1-fp16')).toBeLessThan(1e-4)
    }
  })

  it.each([
    ['as it is', WAIFU_DIFFUSION.main],
    ['with pickles alone', WAIFU_DIFFUSION.main.filter((path) => !/^\w+\/.*\.safetensors$/.test(path))],
  ])('hakurei/waifu-diffusion %s draws', async (_, paths) => {
    await start(
      'hakurei/waifu-diffusion',
      repositoryFolder(
        paths,
        tinyContent(() => 'F16'),
      ),
    )
    const pipe = await StableDiffusionPipeline.fromPretrained('hakurei/waifu-diffusion', ON_CPU)
    expect(await difference(pipe, 'sd1-fp16')).toBeLessThan(1e-4)
  })

  it.each(['wd-v1-3-float16.ckpt', 'safetensors/wd-v1-3-float16.safetensors'])(
    'one file of it, %s, draws',
    async (file) => {
      const content: Content = (path) => {
        if (path !== file) return undefined
        const tensors = withDtype(singleFileTensors('sd1'), () => 'F16')
        return file.endsWith('.ckpt') ? torchArchive(tensors) : readFileSync(tinyFile(tensors))
      }
      await start('hakurei/waifu-diffusion', repositoryFolder(WAIFU_DIFFUSION.main, content))
      const pipe = await StableDiffusionPipeline.fromPretrained(`hakurei/waifu-diffusion/${file}`, ON_CPU)
      expect(await difference(pipe, 'sd1-fp16')).toBeLessThan(1e-4)
    },
  )

  it('a VAE in a repository of its own stands in for one that a file lacks', async () => {
    const vae = tinyContent(() => 'F16')
    const files = ['README.md', 'config.json', 'diffusion_pytorch_model.bin', 'diffusion_pytorch_model.safetensors']
    await start(
      'stabilityai/sd-vae-ft-mse',
      repositoryFolder(files, (path) => vae(`vae/${path}`)),
    )
    const tensors = [...withDtype(singleFileTensors('sd1'), () => 'F16')]
    const withoutVae = tinyFile(new Map(tensors.filter(([name]) => !name.startsWith('first_stage_model.'))))
    const pipe = await StableDiffusionPipeline.fromPretrained(withoutVae, {
      vae: 'stabilityai/sd-vae-ft-mse',
      ...ON_CPU,
    })
    expect(await difference(pipe, 'sd1-fp16')).toBeLessThan(1e-4)
    expect(hub.requests.map(({ path }) => path)).not.toContainEqual(expect.stringMatching(/\.bin$/))
  })
})
