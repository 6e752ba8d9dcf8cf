/** Attention in its cheaper forms: the same output, on every family's UNet and wherever a model's files lie. */

import { copyFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.ts'
import { rewriteAttention } from '../../src/engine/graph/rewrite-attention.ts'
import { type LoadProgress, StableDiffusionPipeline } from '../../src/engine/index.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { compare, ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

async function draw(pipe: StableDiffusionPipeline): Promise<Tensor> {
  const { images } = await pipe.generate({
    prompt: 'a cat',
    numInferenceSteps: 2,
    height: 64,
    width: 96,
    outputType: 'latent',
    latents: noise(8 * 12 * pipe.modelInfo.latentChannels, [1, pipe.modelInfo.latentChannels, 8, 12]),
  })
  return images
}

function noise(length: number, dims: number[]) {
  return { data: Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898) * 1.5), dims }
}

describe.each(['tiny-sd1', 'tiny-sdxl'])('%s', (name) => {
  it('gives the same output sliced and fused, and its own graph back', async () => {
    const folder = tinyPipeline(name)
    const pipe = await StableDiffusionPipeline.fromPretrained(folder, ON_CPU)
    const original = await draw(pipe)
    for (const sliceSize of ['auto', 'max', 3] as const) {
      pipe.enableAttentionSlicing(sliceSize)
      expect(compare(await draw(pipe), original).difference).toBeLessThan(1e-5)
    }
    pipe.enableMemoryEfficientAttention()
    const fused = await draw(pipe)
    expect(compare(fused, original).difference).toBeLessThan(1e-4)
    // Another kernel rounds otherwise: were it bit for bit the same, the graph would not have changed.
    expect(compare(fused, original).difference).toBeGreaterThan(0)
    pipe.disableAttentionSlicing()
    expect(compare(await draw(pipe), original).difference).toBe(0)
    const written = (await readdir(join(folder, 'unet'))).filter((file) => file.startsWith('.'))
    expect(written).toHaveLength(4)
  })
})

describe('a large UNet', () => {
  it('is opened once, fused, and gives its own graph when asked', async () => {
    const folder = tinyPipeline('tiny-sd1')
    const original = await draw(await StableDiffusionPipeline.fromPretrained(folder, ON_CPU))
    const config = join(folder, 'unet/config.json')
    await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), sample_size: 64 }))
    const parts: string[] = []
    const onProgress = (progress: LoadProgress) => void (progress.status === 'load' && parts.push(progress.part))
    const pipe = await StableDiffusionPipeline.fromPretrained(folder, { ...ON_CPU, onProgress })
    expect(parts.filter((part) => part === 'unet')).toHaveLength(1)
    const { difference } = compare(await draw(pipe), original)
    expect(difference).toBeGreaterThan(0)
    expect(difference).toBeLessThan(1e-4)
    pipe.disableAttentionSlicing()
    expect(compare(await draw(pipe), original).difference).toBe(0)
  })
})

describe('enableAttentionSlicing', () => {
  it('works where the hub’s cache keeps every file behind a link', async () => {
    const folder = tinyPipeline('tiny-sd1')
    const graph = join(folder, 'unet/model.onnx')
    await mkdir(join(folder, 'blobs'))
    await rename(graph, join(folder, 'blobs/0123'))
    await symlink('../blobs/0123', graph)
    const pipe = await StableDiffusionPipeline.fromPretrained(folder, ON_CPU)
    const original = await draw(pipe)
    pipe.enableAttentionSlicing('max')
    expect(compare(await draw(pipe), original).difference).toBeLessThan(1e-5)
  })

  it.each([0, -1, 1.5, Number.NaN, 'half' as 'max'])('refuses a slice size of %s', async (sliceSize) => {
    const pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
    expect(() => pipe.enableAttentionSlicing(sliceSize)).toThrow(/it must be 'auto', 'max' or a whole number from 1/)
  })
})

describe('rewriteAttention', () => {
  const upcast = fileURLToPath(new URL('../fixtures/graphs/attention-upcast.onnx', import.meta.url))

  function copied(): string {
    const path = join(temporaryFolder(), 'model.onnx')
    copyFileSync(upcast, path)
    return path
  }

  it('fuses half precision whose queries and keys were widened, of an old opset, with torch.baddbmm’s empty matrix', async () => {
    const original = copied()
    const outputs: Float32Array[] = []
    for (const path of [original, await rewriteAttention(original, 'fused')]) {
      const session = await InferenceSession.create(path)
      const feeds = ['query', 'key', 'value'].map((name, k) => {
        const data = Float32Array.from({ length: 4 * 6 * 8 }, (_, i) => Math.sin(i * 12.9898 + k))
        return [name, new OrtTensor('float32', data, [4, 6, 8])] as const
      })
      outputs.push((await session.run(Object.fromEntries(feeds))).out!.data as Float32Array)
      await session.release()
    }
    const [wanted, given] = outputs.map((data) => ({ data, dims: [4, 6, 8] }))
    expect(compare(given!, wanted!).difference).toBeLessThan(2e-3)
  })

  it('is done by several pipelines at once', async () => {
    const path = copied()
    const written = await Promise.all([1, 2, 3, 4].map(() => rewriteAttention(path, 'fused')))
    expect(new Set(written).size).toBe(1)
    expect(await readdir(dirname(path))).toHaveLength(2)
  })

  it('takes a model whose attention is fused already as it is', async () => {
    const fused = await rewriteAttention(copied(), 'fused')
    expect(await rewriteAttention(fused, 'fused')).toBe(fused)
    await expect(rewriteAttention(fused, 1)).rejects.toThrow(EngineError)
  })

  it('needs operators that old opsets lack', async () => {
    await expect(rewriteAttention(copied(), 1)).rejects.toThrow(/uses opset 11; export it again with opset 12/)
  })
})
