/** Graphs written from config.json and weights, against diffusers and transformers in float32. */

import { describe, expect, test } from 'vitest'
import type { OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { writeClipTextModel } from '../../src/engine/graph/write/clip-text.ts'
import { writeControlNet } from '../../src/engine/graph/write/controlnet.ts'
import { writeSafetyChecker } from '../../src/engine/graph/write/safety-checker.ts'
import { writeUNet } from '../../src/engine/graph/write/unet.ts'
import { writeVaeDecoder, writeVaeEncoder } from '../../src/engine/graph/write/vae.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { compare } from './tiny-pipeline.ts'
import { type FileType, feedsOf, readCase, readOutputs, runGraph, writtenWeights } from './written-graphs.ts'

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
    const outputs = [...readOutputs(name).keys()]
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
