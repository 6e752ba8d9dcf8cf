/** Graphs written from config.json and weights, against diffusers and transformers in float32. */

import { describe, expect, test } from 'vitest'
import type { OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { writeClipTextModel } from '../../src/engine/graph/write/clip-text.ts'
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
