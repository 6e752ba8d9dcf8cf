/** Attention in its cheaper forms: the same output, on every family's UNet and wherever a model's files lie. */

import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { exportedGraph } from '../../src/engine/graph/graph-source.ts'
import { readOnnx } from '../../src/engine/graph/onnx-file.ts'
import { rewriteAttention } from '../../src/engine/graph/rewrite-attention.ts'
import { type LoadProgress, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { OnnxRuntimeModel } from '../../src/engine/models/onnx-runtime-model.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { compare, ON_CPU, tinyPipeline } from './tiny-pipeline.ts'

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
    expect((await readdir(join(folder, 'unet'))).sort()).toEqual(['config.json', 'model.onnx'])
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

  it('fuses half precision whose queries and keys were widened, of an old opset, with torch.baddbmm’s empty matrix', async () => {
    const source = exportedGraph('unet', upcast)
    const feeds = Object.fromEntries(
      ['query', 'key', 'value'].map((name, k) => {
        const data = Float32Array.from({ length: 4 * 6 * 8 }, (_, i) => Math.sin(i * 12.9898 + k))
        return [name, { data, dims: [4, 6, 8] }]
      }),
    )
    const model = await OnnxRuntimeModel.load(source, { device: 'cpu' })
    const [wanted] = await model.run(feeds, ['out'])
    await model.setRewrite('attention', rewriteAttention('fused'))
    const [given] = await model.run(feeds, ['out'])
    expect(compare(given!, wanted!).difference).toBeLessThan(2e-3)
    expect(compare(given!, wanted!).difference).toBeGreaterThan(0)
  })

  it('takes a model whose attention is fused already as it is', () => {
    const fused = rewriteAttention('fused').apply(readOnnx(upcast), upcast)
    const nodes = [...fused.nodes]
    expect(rewriteAttention('fused').apply(fused, upcast).nodes).toEqual(nodes)
    expect(() => rewriteAttention(1).apply({ ...fused, opsets: [{ version: 17 }] }, upcast)).toThrow(
      /holds no attention that can be rewritten/,
    )
  })

  it('needs operators that old opsets lack', () => {
    expect(() => rewriteAttention(1).apply(readOnnx(upcast), upcast)).toThrow(
      /uses opset 11; export it again with opset 12/,
    )
  })
})
