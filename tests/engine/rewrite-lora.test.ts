/** Branches in graphs of every kind compute what weights with the matrices summed into them would. */

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findLayers, type GraphLayer } from '../../src/engine/graph/find-layers.ts'
import { exportedGraph, type GraphSource } from '../../src/engine/graph/graph-source.ts'
import type { OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { loraInputs, rewriteLora } from '../../src/engine/graph/rewrite-lora.ts'
import { writeClipTextModel } from '../../src/engine/graph/write/clip-text.ts'
import { writeUNet } from '../../src/engine/graph/write/unet.ts'
import { LoraBranches } from '../../src/engine/models/lora-branches.ts'
import { OnnxRuntimeModel } from '../../src/engine/models/onnx-runtime-model.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { readFloats } from '../../src/engine/weights/read-floats.ts'
import type { Weights } from '../../src/engine/weights/stored-tensor.ts'
import { openWeightFile } from '../../src/engine/weights/weight-file.ts'
import { type Tiny, tinyFile } from './tiny-checkpoint.ts'
import { compare, tinyPipeline } from './tiny-pipeline.ts'
import { type FileType, feedsOf, readCase, runGraph, writtenWeights } from './written-graphs.ts'

/** A rank that differs from layer to layer, 0 among them. */
function matricesOf(layers: readonly GraphLayer[]): Map<string, { down: Tensor; up: Tensor }> {
  return new Map(
    layers.map(({ name, inputs, outputs, kernel }, i) => {
      const rank = i % 4
      const row = kernel.reduce((size, side) => size * side, inputs)
      const wave = (count: number) => Float32Array.from({ length: count }, (_, at) => 0.15 * Math.sin(1.7 * at + i))
      return [
        name,
        {
          down: { data: wave(rank * row), dims: [rank, inputs, ...kernel] },
          up: { data: wave(outputs * rank), dims: [outputs, rank, ...kernel.map(() => 1)] },
        },
      ]
    }),
  )
}

function summed(weights: Weights, matrices: ReturnType<typeof matricesOf>): Weights {
  const tensors = new Map<string, Tiny>()
  for (const name of weights.names()) {
    const stored = weights.get(name)!
    const data = readFloats(stored)!
    const own = matrices.get(name.replace(/\.weight$/, ''))
    if (own && name.endsWith('.weight')) {
      const [outputs = 0, rank = 0] = own.up.dims
      const row = data.length / outputs
      for (let o = 0; o < outputs; o++)
        for (let r = 0; r < rank; r++)
          for (let i = 0; i < row; i++) data[o * row + i]! += own.up.data[o * rank + r]! * own.down.data[r * row + i]!
    }
    tensors.set(name, { shape: stored.shape, data })
  }
  return openWeightFile(tinyFile(tensors)).weights
}

const UNETS = ['unet-sd1', 'unet-sd2', 'unet-sdxl', 'unet-ssd', 'unet-lcm', 'unet-inpainting'].map(
  (name) => [name, writeUNet, 'out_sample'] as const,
)
const TEXTS = ['clip-quick-gelu', 'clip-projection', 'clip-mask'].map(
  (name) => [name, writeClipTextModel, 'last_hidden_state'] as const,
)

/** Those that are tried in other number types too. */
const HALF = ['unet-sd1', 'clip-projection']

describe.each([...UNETS, ...TEXTS])('%s with branches', (name, write, output) => {
  const one = readCase(name)
  const run = async (graph: OnnxGraph, more: Record<string, Tensor> = {}) =>
    (await runGraph(graph, { ...feedsOf(one), ...more })).get(output)!
  const feedsFor = (matrices: ReturnType<typeof matricesOf>) =>
    Object.fromEntries(
      [...matrices].flatMap(([layer, { down, up }]) => {
        const inputs = loraInputs(layer)
        return [[inputs.down, down] as const, [inputs.up, up] as const]
      }),
    )

  const types: FileType[] = HALF.includes(name) ? ['F32', 'F16', 'BF16'] : ['F32']
  it.each(types)('of weights in %s', async (type) => {
    const weights = writtenWeights(one, type)
    const matrices = matricesOf(findLayers(write(one.config, weights)))
    const wanted = await run(write(one.config, summed(weights, matrices)))
    const given = await run(rewriteLora.apply(write(one.config, weights), ''), feedsFor(matrices))
    const off = compare(given, wanted)
    expect(off.difference).toBeLessThan(2e-5 * Math.max(1, off.magnitude))
    expect(compare(await run(write(one.config, weights)), wanted).difference).toBeGreaterThan(0.01 * off.magnitude)
  })

  if (!HALF.includes(name)) return
  it('in half precision', async () => {
    const weights = writtenWeights(one)
    const matrices = matricesOf(findLayers(write(one.config, weights)))
    const wanted = await run(rewriteLora.apply(write(one.config, weights), ''), feedsFor(matrices))
    const given = await run(rewriteLora.apply(write(one.config, weights, { half: true }), ''), feedsFor(matrices))
    const off = compare(given, wanted)
    expect(off.difference).toBeLessThan(0.02 * off.magnitude)
  })
})

it('an export that does not tell its layers is refused in a sentence', async () => {
  const source = exportedGraph('unet', join(tinyPipeline('tiny-sd1'), 'unet', 'model.onnx'))
  const unnamed: GraphSource = { part: 'unet', path: source.path, read: () => withoutNames(source.read()) }
  const branches = new LoraBranches(await OnnxRuntimeModel.load(unnamed, { device: 'cpu' }))
  await expect(branches.enable()).rejects.toThrow(
    /unet.model\.onnx does not tell which layers it has, so no LoRA can be used with it; open the model/,
  )
})

/** As torch's exporter wrote graphs before 2022: nodes and weights are numbered. */
function withoutNames(graph: OnnxGraph): OnnxGraph {
  const renamed = (name: string) => name.replaceAll('.weight', '_w')
  return {
    ...graph,
    untouched: new Map(),
    nodes: graph.nodes.map((node, i) => ({
      ...node,
      name: `${node.opType}_${i}`,
      input: node.input.map(renamed),
      output: node.output.map(renamed),
    })),
    initializers: graph.initializers.map(({ tensor, ...rest }) => ({
      ...rest,
      tensor: { ...tensor, name: renamed(tensor.name!) },
    })),
  }
}
