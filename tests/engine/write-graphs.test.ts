/** Graphs written from config.json and weights, against diffusers and transformers in float32. */

import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Config } from '../../src/engine/config-file.ts'
import { findAttention } from '../../src/engine/graph/find-attention.ts'
import { findLinears } from '../../src/engine/graph/find-linears.ts'
import { type OnnxGraph, readOnnx } from '../../src/engine/graph/onnx-file.ts'
import { rewriteAttention } from '../../src/engine/graph/rewrite-attention.ts'
import { writeClipTextModel } from '../../src/engine/graph/write/clip-text.ts'
import { writeControlNet } from '../../src/engine/graph/write/controlnet.ts'
import { writeSafetyChecker } from '../../src/engine/graph/write/safety-checker.ts'
import { writeUNet } from '../../src/engine/graph/write/unet.ts'
import { writeVaeDecoder, writeVaeEncoder } from '../../src/engine/graph/write/vae.ts'
import { OnnxRuntimeModel } from '../../src/engine/models/onnx-runtime-model.ts'
import { CLIPTextModel } from '../../src/engine/models/text-encoder.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import type { Weights } from '../../src/engine/weights/stored-tensor.ts'
import { compare, FIXTURES, ON_CPU } from './tiny-pipeline.ts'
import {
  type Case,
  type FileType,
  feedsOf,
  readCase,
  readOutputs,
  runGraph,
  swappedWeights,
  writtenWeights,
} from './written-graphs.ts'

function expectSame(given: Map<string, Tensor>, wanted: Map<string, Tensor>, relative = 1e-5): void {
  for (const [name, tensor] of given) {
    expect(tensor.dims, name).toEqual(wanted.get(name)!.dims)
    const { difference, magnitude } = compare(tensor, wanted.get(name)!)
    expect(difference, name).toBeLessThan(relative * magnitude)
  }
}

async function expectDiffusers(name: string, graph: OnnxGraph, outputs: readonly string[]): Promise<void> {
  const given = await runGraph(graph, feedsOf(readCase(name)))
  expect([...given.keys()].sort()).toEqual([...outputs].sort())
  expectSame(given, readOutputs(name))
}

describe('UNet2DConditionModel', () => {
  const cases: [name: string, type: FileType][] = [
    ['unet-sd1', 'F32'],
    ['unet-sd1-fp16', 'F16'],
    ['unet-sd1-bf16', 'BF16'],
    ['unet-sd2', 'F32'],
    ['unet-sdxl', 'F32'],
    ['unet-ssd', 'F32'],
    ['unet-vega', 'F32'],
    ['unet-lcm', 'F32'],
    ['unet-inpainting', 'F32'],
  ]
  test.each(cases)('%s from %s weights', async (name, type) => {
    const one = readCase(name)
    await expectDiffusers(name, writeUNet(one.config, writtenWeights(one, type)), ['out_sample'])
  })

  test('adds what a ControlNet gives to what it keeps for the way up', async () => {
    const one = readCase('unet-sd1-residuals')
    const graph = writeUNet(one.config, writtenWeights(one), { residuals: true })
    await expectDiffusers('unet-sd1-residuals', graph, ['out_sample'])
  })
})

describe('AutoencoderKL', () => {
  test.each(['vae', 'vae-without-quant-convs', 'vae-without-attention'])('%s', async (name) => {
    const one = readCase(name)
    await expectDiffusers(name, writeVaeDecoder(one.config, writtenWeights(one)), ['sample'])
    await expectDiffusers(name, writeVaeEncoder(one.config, writtenWeights(one)), ['latent_parameters'])
  })
})

describe('CLIPTextModel', () => {
  const cases: [name: string, type: FileType][] = [
    ['clip-quick-gelu', 'F32'],
    ['clip-quick-gelu-bf16', 'BF16'],
    ['clip-gelu', 'F32'],
    ['clip-projection', 'F32'],
    ['clip-mask', 'F32'],
  ]
  test.each(cases)('%s from %s weights', async (name, type) => {
    const one = readCase(name)
    const outputs = [...readOutputs(name).keys()].filter((output) => output !== 'clip_skip')
    await expectDiffusers(name, writeClipTextModel(one.config, writtenWeights(one, type)), outputs)
  })
})

describe('ControlNetModel', () => {
  test.each(['controlnet-sd1', 'controlnet-sd1-pooled', 'controlnet-sdxl'])('%s', async (name) => {
    const one = readCase(name)
    const outputs = [...readOutputs(name).keys()]
    const scale = { data: new Float32Array(outputs.length).fill(0.7), dims: [outputs.length] }
    const feeds = { ...feedsOf(one), conditioning_scale: scale }
    const given = await runGraph(writeControlNet(one.config, writtenWeights(one)), feeds)
    expect([...given.keys()].sort()).toEqual(outputs.sort())
    expectSame(given, readOutputs(name))
  })
})

test('StableDiffusionSafetyChecker flags what diffusers flags, and blackens it', async () => {
  const one = readCase('safety-checker')
  const wanted = readOutputs('safety-checker')
  expect(new Set(wanted.get('has_nsfw_concepts')!.data)).toEqual(new Set([0, 1]))
  const given = await runGraph(writeSafetyChecker(one.config, writtenWeights(one)), feedsOf(one))
  expect(given.get('has_nsfw_concepts')).toEqual(wanted.get('has_nsfw_concepts'))
  expect(given.get('out_images')).toEqual(wanted.get('out_images'))
})

describe('attention', () => {
  test.each(['fused', 'auto', 1] as const)('is found in written graphs and put in the form "%s"', async (form) => {
    const one = readCase('unet-sd2')
    const graph = writeUNet(one.config, writtenWeights(one))
    const softmaxes = graph.nodes.filter(({ opType }) => opType === 'Softmax').length
    expect(findAttention(graph)).toHaveLength(softmaxes)
    await expectDiffusers('unet-sd2', rewriteAttention(form).apply(graph, 'unet'), ['out_sample'])
  })

  test('is fused with the heads still beside each other, as the operator wants them', () => {
    const one = readCase('unet-sd2')
    const fused = rewriteAttention('fused').apply(writeUNet(one.config, writtenWeights(one)), 'unet')
    const heads = fused.nodes
      .filter(({ opType }) => opType === 'MultiHeadAttention')
      .map(({ attribute }) => attribute.find(({ name }) => name === 'num_heads')?.i)
    // Down: 2 heads once, 3 once; middle: 3; up: 3 twice, 2 twice; each block has two attentions.
    expect(heads.map(Number)).toEqual([2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2])
    expect(fused.nodes.filter(({ attribute }) => attribute.some(({ ints }) => `${ints}` === '0,2,1,3'))).toEqual([])
  })
})

describe('half precision', () => {
  const half = { half: true }
  const cases: [name: string, type: FileType, write: (config: Config, weights: Weights) => OnnxGraph][] = [
    ['unet-lcm', 'F32', (config, weights) => writeUNet(config, weights, half)],
    ['unet-lcm', 'BF16', (config, weights) => writeUNet(config, weights, half)],
    ['unet-sd2', 'F16', (config, weights) => writeUNet(config, weights, half)],
    ['unet-vega', 'F16', (config, weights) => writeUNet(config, weights, half)],
    ['controlnet-sdxl', 'F16', (config, weights) => writeControlNet(config, weights, half)],
    ['vae', 'F32', (config, weights) => writeVaeDecoder(config, weights, half)],
    ['vae', 'F16', (config, weights) => writeVaeEncoder(config, weights, half)],
    ['clip-mask', 'F32', (config, weights) => writeClipTextModel(config, weights, half)],
    ['clip-projection', 'F16', (config, weights) => writeClipTextModel(config, weights, half)],
  ]
  test.each(cases)('%s from %s weights computes nearly the same in it', async (name, type, write) => {
    const one = readCase(name)
    const feeds = { ...feedsOf(one), conditioning_scale: { data: new Float32Array(7).fill(0.7), dims: [7] } }
    const given = await runGraph(write(one.config, writtenWeights(one, type)), feeds)
    expectSame(given, readOutputs(name), type === 'BF16' ? 0.05 : 0.01)
  })

  test('fuses attention whose scores are float32', async () => {
    const one = readCase('unet-sd2')
    const graph = writeUNet(one.config, writtenWeights(one), { half: true })
    expect(findAttention(graph).every(({ upcast }) => upcast)).toBe(true)
    const given = await runGraph(rewriteAttention('fused').apply(graph, 'unet'), feedsOf(one))
    expectSame(given, readOutputs('unet-sd2'), 0.01)
  })
})

describe('linear layers and convolutions', () => {
  const cases: [name: string, write: (one: Case, type: FileType) => OnnxGraph][] = [
    ['unet-sd1', (one, type) => writeUNet(one.config, writtenWeights(one, type))],
    ['unet-sdxl', (one, type) => writeUNet(one.config, writtenWeights(one, type))],
    ['controlnet-sd1', (one, type) => writeControlNet(one.config, writtenWeights(one, type))],
    ['clip-projection', (one, type) => writeClipTextModel(one.config, writtenWeights(one, type))],
    ['safety-checker', (one, type) => writeSafetyChecker(one.config, writtenWeights(one, type))],
  ]
  test.each(cases)('are all found in %s by their modules', (name, write) => {
    const one = readCase(name)
    const weights = Object.entries(one.weights).filter(
      ([weight, shape]) => shape.length > 1 && weight.endsWith('.weight'),
    )
    const modules = weights
      .map(([weight]) => weight.replace(/\.weight$/, ''))
      .filter((module) => !/embedding$/.test(module))
    const patch = name === 'safety-checker' ? ['vision_model.vision_model.embeddings.patch_embedding'] : []
    for (const type of ['F32', 'F16'] as const) {
      const found = findLinears(write(one, type))
      expect([...found.keys()].sort()).toEqual([...modules, ...patch].sort())
      for (const [module, { weight, bias, isTransposed }] of found) {
        expect(weight).toBe(`${module}.weight`)
        expect(bias).toBe(one.weights[`${module}.bias`] ? `${module}.bias` : undefined)
        expect(isTransposed).toBe(false)
      }
    }
  })

  test('are found in an export of optimum', () => {
    const graph = readOnnx(join(FIXTURES, 'tiny-sdxl/unet/model.onnx'))
    const found = findLinears(graph)
    const stored = new Map(graph.initializers.map(({ tensor }) => [tensor.name!, tensor.dims]))
    const query = found.get('mod.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q')!
    expect(query).toMatchObject({ kind: 'linear', isTransposed: true })
    expect(query.bias).toBeUndefined()
    expect(stored.get(query.weight)).toHaveLength(2)
    const out = found.get('mod.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0')!
    expect(out.bias).toMatch(/to_out\.0\.bias$/)
    expect(out.output).toBe(out.biasNode!.output[0])
    expect(found.get('mod.time_embedding.linear_1')).toMatchObject({ kind: 'linear', isTransposed: false })
    expect(found.get('mod.down_blocks.0.resnets.0.conv1')).toMatchObject({ kind: 'conv', bias: expect.any(String) })
    const multiplied = graph.nodes.filter(
      ({ opType, input }) => ['MatMul', 'Gemm', 'Conv'].includes(opType) && stored.has(input[1]!),
    )
    expect(found.size).toBe(multiplied.length)
  })
})

describe('clip skip', () => {
  test.each(['F32', 'F16', 'BF16'] as const)('reads the final norm from %s weights where they lie', async (type) => {
    const name = type === 'BF16' ? 'clip-quick-gelu-bf16' : 'clip-quick-gelu'
    const one = readCase(name)
    const weights = writtenWeights(one, type)
    const source = {
      part: 'text_encoder',
      path: 'model.safetensors',
      read: () => writeClipTextModel(one.config, weights),
    }
    const model = await OnnxRuntimeModel.load(source, ON_CPU)
    expect(model.isHalf).toBe(false)
    const encoder = new CLIPTextModel(model, one.config)
    expect(encoder.skippableLayers(true)).toBe(2)
    const { hiddenStates } = await encoder.encode(one.inputs.input_ids as number[][], 1, true)
    const { difference } = compare(hiddenStates, readOutputs(name).get('clip_skip')!)
    expect(difference).toBeLessThan(type === 'F16' ? 0.01 : 1e-5)
    await model.release()
  })
})

describe('what cannot be written', () => {
  const sd1 = readCase('unet-sd1')
  const refused: [key: string, value: unknown, words: RegExp][] = [
    ['resnet_time_scale_shift', 'scale_shift', /resnet_time_scale_shift "scale_shift"/],
    ['class_embed_type', 'timestep', /class_embed_type "timestep"/],
    ['num_class_embeds', 1000, /num_class_embeds 1000/],
    ['addition_embed_type', 'image', /addition_embed_type "image"/],
    ['down_block_types', ['AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'], /down_block_types "AttnDownBlock2D"/],
    ['up_block_types', ['UpBlock2D'], /up_block_types \["UpBlock2D"\]/],
    ['mid_block_type', 'UNetMidBlock2DSimpleCrossAttn', /mid_block_type/],
    ['act_fn', 'gelu', /act_fn "gelu"/],
    ['norm_num_groups', 'many', /norm_num_groups "many"/],
    ['attention_head_dim', 5, /attention_head_dim 5/],
    ['block_out_channels', 'x'.repeat(500), /block_out_channels "x{59}…/],
    ['transformer_layers_per_block', [1, [1], 1], /transformer_layers_per_block/],
  ]
  test.each(refused)('is named: %s', (key, value, words) => {
    const write = () => writeUNet({ ...sd1.config, [key]: value }, writtenWeights(sd1))
    expect(write).toThrow(expect.objectContaining({ code: 'model', message: expect.stringMatching(words) }))
  })

  test('for want of a weight, or for its shape, is said before a session is made', () => {
    const { 'mid_block.resnets.0.conv1.weight': shape, ...others } = sd1.weights
    expect(() => writeUNet(sd1.config, writtenWeights({ weights: others }))).toThrow(
      expect.objectContaining({
        code: 'model',
        message: expect.stringMatching(/lacks .*"mid_block\.resnets\.0\.conv1\.weight"/),
      }),
    )
    const wrong = { ...sd1.weights, 'mid_block.resnets.0.conv1.weight': [...shape!].reverse() }
    expect(() => writeUNet(sd1.config, writtenWeights({ weights: wrong }))).toThrow(
      expect.objectContaining({
        code: 'model',
        message: expect.stringMatching(/conv1\.weight" is \[3, 3, 24, 24\] where .* \[24, 24, 3, 3\]/),
      }),
    )
  })

  test('does not mind weights that it does not know', async () => {
    const more = { ...sd1, weights: { ...sd1.weights, 'text_model.embeddings.position_ids': [1, 77] } }
    await expectDiffusers('unet-sd1', writeUNet(sd1.config, writtenWeights(more)), ['out_sample'])
  })
})

test('a matrix may lie in its file with its axes swapped', async () => {
  const one = readCase('clip-projection')
  const module = 'text_projection.weight'
  const straight = writtenWeights(one)
  const swapped = swappedWeights(one, module)
  const weights = { names: straight.names, get: (name: string) => (name === module ? swapped : straight.get(name)) }
  await expectDiffusers('clip-projection', writeClipTextModel(one.config, weights), [
    ...readOutputs('clip-projection').keys(),
  ])
})
