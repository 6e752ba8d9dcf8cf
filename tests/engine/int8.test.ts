import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { int, ints } from '../../src/engine/graph/attributes.ts'
import type { Rewrite } from '../../src/engine/graph/graph-source.ts'
import { inputField } from '../../src/engine/graph/onnx-bytes.ts'
import type { Initializer, OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { DataType } from '../../src/engine/graph/onnx-schema.ts'
import { rewriteInt8 } from '../../src/engine/graph/rewrite-int8.ts'
import { loraInputs, rewriteLora } from '../../src/engine/graph/rewrite-lora.ts'
import { EngineError, Generator, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { OnnxRuntimeModel } from '../../src/engine/models/onnx-runtime-model.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import { graphOf, inFile, inGraph, node, numbers, type StoredAs, sourceOf } from './small-graph.ts'
import { ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const EMBEDDED = fileURLToPath(new URL('../../models/emoji', import.meta.url))

describe('the embedded model', () => {
  it('draws nearly what it draws in float32', async () => {
    const options = { ...ON_CPU, cacheDir: temporaryFolder() }
    const single = await StableDiffusionPipeline.fromPretrained(EMBEDDED, options)
    const int8 = await StableDiffusionPipeline.fromPretrained(EMBEDDED, { ...options, dtype: 'int8' })
    for (const prompt of ['a red apple', 'two yellow stars on a sky blue background', 'a fox wearing a crown']) {
      const [wanted, given] = [await draw(single, prompt), await draw(int8, prompt)]
      expect(given.data).not.toEqual(wanted.data)
      expect(peakSignalToNoise(given, wanted)).toBeGreaterThan(45)
    }
  })

  it('draws every picture as if it were alone', async () => {
    const pipe = await StableDiffusionPipeline.fromPretrained(EMBEDDED, { ...ON_CPU, dtype: 'int8', cacheDir: null })
    const latents = async (prompt: string[], seeds: number[]) => {
      const generator = seeds.map((seed) => new Generator(seed))
      const { images } = await pipe.generate({
        prompt,
        generator,
        guidanceScale: 2,
        numInferenceSteps: 2,
        outputType: 'latent',
      })
      return images
    }
    const both = await latents(['a red apple', 'a blue house'], [1, 2])
    const alone = [await latents(['a red apple'], [1]), await latents(['a blue house'], [2])]
    expect(both.data).toEqual(Float32Array.from(alone.flatMap(({ data }) => [...data])))
  })

  it('runs on the CPU alone, and says so before anything is opened', async () => {
    await expect(StableDiffusionPipeline.fromPretrained(EMBEDDED, { device: 'cuda', dtype: 'int8' })).rejects.toThrow(
      "dtype 'int8' runs on the CPU alone; use it with device 'cpu', or dtype 'fp16' with device 'cuda'.",
    )
    const pipe = await StableDiffusionPipeline.fromPretrained(EMBEDDED, { ...ON_CPU, dtype: 'int8', cacheDir: null })
    await expect(pipe.components.unet.model.to('webgpu')).rejects.toThrow(/runs on device 'cpu' alone/)
    await expect(
      StableDiffusionPipeline.fromPretrained(EMBEDDED, { ...ON_CPU, dtype: 'int4' as 'int8' }),
    ).rejects.toThrow('There is no dtype "int4"; choose one of auto, fp32, fp16, int8.')
  })

  it('a model too small for it runs as it is', async () => {
    const options = { ...ON_CPU, dtype: 'int8', cacheDir: temporaryFolder() } as const
    const pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), options)
    await pipe.generate({ prompt: 'a cat', numInferenceSteps: 1 })
    expect(readdirSync(options.cacheDir)).toEqual([])
  })
})

/** Weights from −1 to 1 whose outputs differ in size, so that a scale of the wrong one shows. */
function weight(rows: number, columns: number): Float32Array {
  return numbers(rows * columns).map((value, i) => value * (1 + (Math.floor(i / columns) % 5)))
}

describe('operators', () => {
  const inputs = 96
  const outputs = 80
  const rows = weight(outputs, inputs)
  const columns = Float32Array.from({ length: inputs * outputs }, (_, i) => {
    return rows[(i % outputs) * inputs + Math.floor(i / outputs)]!
  })
  const bias = inGraph('b', [outputs], numbers(outputs, 5))
  const x = { data: numbers(7 * inputs, 2), dims: [1, 7, inputs] }
  const flat = { ...x, dims: [7, inputs] }
  const gemm = (transB: number, weights: Initializer[], from = 'w') =>
    graphOf([node('Gemm', ['x', from, 'b'], 'y', { attribute: [int('transB', transB)] })], [...weights, bias], {
      x: ['rows', inputs],
      y: ['rows', outputs],
    })
  const widened = node('Cast', ['half'], 'w', { attribute: [int('to', DataType.FLOAT)] })
  const stored = (as: StoredAs) => {
    const graph = gemm(1, [inFile('half', [outputs, inputs], rows, as)])
    return { ...graph, nodes: [widened, ...graph.nodes] }
  }

  it.each<[string, () => OnnxGraph, Tensor]>([
    [
      'MatMul over three axes',
      () =>
        graphOf([node('MatMul', ['x', 'w'], 'y')], [inFile('w', [inputs, outputs], columns)], {
          x: ['batch', 'tokens', inputs],
          y: ['batch', 'tokens', outputs],
        }),
      x,
    ],
    ...[0, 1].map((transB): [string, () => OnnxGraph, Tensor] => {
      // More than is read at once.
      const [depth, width] = [4096, 600]
      const values = transB ? weight(width, depth) : weight(depth, width)
      const dims = transB ? [width, depth] : [depth, width]
      const read = () =>
        graphOf([node('Gemm', ['x', 'w'], 'y', { attribute: [int('transB', transB)] })], [inFile('w', dims, values)], {
          x: ['rows', depth],
          y: ['rows', width],
        })
      return [`a large weight, transB ${transB}`, read, { data: numbers(2 * depth, 2), dims: [2, depth] }]
    }),
    ["Gemm with torch's weights", () => gemm(1, [inFile('w', [outputs, inputs], rows)]), flat],
    ['Gemm', () => gemm(0, [inFile('w', [inputs, outputs], columns)]), flat],
    ['weights in the graph itself', () => gemm(0, [inGraph('w', [inputs, outputs], columns)]), flat],
    ['half weights', () => stored('F16'), flat],
    ['bfloat16 weights', () => stored('BF16'), flat],
    ...[
      { size: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] },
      { size: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
      // As the VAE's encoder has it.
      { size: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] },
      { size: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0] },
      { size: [1, 1], strides: [2, 2], pads: [0, 0, 0, 0] },
      { size: [2, 3], strides: [1, 2], pads: [0, 2, 1, 0] },
    ].map(({ size, strides, pads }): [string, () => OnnxGraph, Tensor] => [
      `Conv ${size} by ${strides} padded ${pads}`,
      () =>
        graphOf(
          [node('Conv', ['x', 'w', 'b'], 'y', { attribute: [ints('strides', strides), ints('pads', pads)] })],
          [inFile('w', [outputs, inputs, ...size], weight(outputs, inputs * size[0]! * size[1]!)), bias],
          { x: ['batch', inputs, 'height', 'width'], y: ['batch', outputs, 'h', 'w'] },
        ),
      // Odd and even, and no square.
      { data: numbers(inputs * 9 * 6, 3), dims: [1, inputs, 9, 6] },
    ]),
  ])('%s', async (_, read, x) => {
    const wanted = await run(read, x)
    const given = await run(read, x, rewriteInt8(undefined, 'signed'))
    expect(given.dims).toEqual(wanted.dims)
    const off = relativeError(given, wanted)
    expect(off).toBeGreaterThan(0)
    expect(off).toBeLessThan(0.012)
    // Both ways to store weights stand for the same numbers.
    expect(await run(read, x, rewriteInt8(undefined, 'unsigned'))).toEqual(given)
  })

  it('half-precision graphs are widened', async () => {
    const read = () =>
      graphOf([node('MatMul', ['x', 'w'], 'y')], [inFile('w', [inputs, outputs], columns, 'F16')], {
        x: ['rows', inputs],
        y: ['rows', outputs],
        type: DataType.FLOAT16,
      })
    expect(relativeError(await run(read, flat, rewriteInt8(undefined)), await run(read, flat))).toBeLessThan(0.012)
  })
})

describe('quantised weights', () => {
  const side = 64
  const file = inFile('w', [side, side], weight(side, side))
  const read = () => graphOf([node('MatMul', ['x', 'w'], 'y')], [file], { x: ['rows', side], y: ['rows', side] })
  const x = { data: numbers(side, 2), dims: [1, side] }
  const cacheDir = temporaryFolder()
  const kept = () => readdirSync(cacheDir).map((name) => join(cacheDir, name, 'weights.bin'))

  it('are kept, and made again when they or the model changed', async () => {
    const fresh = await run(read, x, rewriteInt8(undefined))
    expect(await run(read, x, rewriteInt8(cacheDir))).toEqual(fresh)
    const [first] = kept() as [string]
    const { ino } = statSync(first)
    expect(await run(read, x, rewriteInt8(cacheDir))).toEqual(fresh)
    expect(kept()).toEqual([first])
    expect(statSync(first).ino).toBe(ino)

    const whole = readFileSync(first)
    truncateSync(first, whole.length - 1)
    expect(await run(read, x, rewriteInt8(cacheDir))).toEqual(fresh)
    expect(readFileSync(first)).toEqual(whole)

    const bytes = readFileSync(file.place!.path)
    writeFileSync(file.place!.path, bytes.fill(0, 10, 10 + 4 * side))
    expect(await run(read, x, rewriteInt8(cacheDir))).not.toEqual(fresh)
    expect(kept()).toHaveLength(2)
  })

  it('are in memory where the folder cannot be made', async () => {
    const notAFolder = join(temporaryFolder(), 'file')
    writeFileSync(notAFolder, '')
    expect(await run(read, x, rewriteInt8(notAFolder))).toEqual(await run(read, x, rewriteInt8(undefined)))
  })
})

it('rows of a fixed batch, and matrices of a LoRA beside them, are told apart', async () => {
  const side = 64
  const weights = inGraph('w', [side, side], weight(side, side))
  const nodes = [node('MatMul', ['x', 'w'], 'base'), node('MatMul', ['base', 'lora'], 'y')]
  const read = (batch: number | string) => () => {
    const graph = graphOf(nodes, [weights], { x: [batch, side], y: [batch, side] })
    return { ...graph, graphRest: [...graph.graphRest, inputField('lora', DataType.FLOAT, [side, side])] }
  }
  const lora = { data: numbers(side * side, 4), dims: [side, side] }
  // As many rows as the matrix has.
  const x = { data: numbers(side * side, 3).map((value, i) => value * (1 + Math.floor(i / side))), dims: [side, side] }
  const results: Tensor[] = []
  for (const batch of ['rows', 4]) {
    const model = await OnnxRuntimeModel.load(sourceOf(read(batch)), ON_CPU, { precision: rewriteInt8(undefined) })
    const [together] = await model.run({ x, lora }, ['y'])
    const row = { data: x.data.slice(5 * side, 6 * side), dims: [1, side] }
    const [alone] = await model.run({ x: row, lora }, ['y'])
    expect(together!.data.slice(5 * side, 6 * side)).toEqual(alone!.data)
    results.push(together!)
  }
  // The product in float32 has other kernels for one row.
  expect(relativeError(results[0]!, results[1]!)).toBeLessThan(1e-6)
})

it('takes the layers that LoRAs are added to', async () => {
  const side = 64
  const name = 'down_blocks.0.attentions.0.to_q'
  const linear = node('MatMul', ['x', 'w'], 'y', { name })
  const weights = inFile('w', [side, side], weight(side, side))
  const read = () => graphOf([linear], [weights], { x: ['n', side], y: ['n', side] })
  // As many rows as the LoRA's rank.
  const x = { data: numbers(3 * side, 2), dims: [3, side] }
  const { down, up } = loraInputs(name)
  const lora = {
    [down]: { data: numbers(3 * side, 3), dims: [3, side] },
    [up]: { data: numbers(3 * side, 4), dims: [side, 3] },
  }
  const results = async (precision?: Rewrite) => {
    const rewrites = { lora: rewriteLora, ...(precision && { precision }) }
    const model = await OnnxRuntimeModel.load(sourceOf(read), ON_CPU, rewrites)
    return (await model.run({ x, ...lora }, ['y']))[0]!
  }
  const off = relativeError(await results(rewriteInt8(undefined)), await results())
  expect(off).toBeGreaterThan(0)
  expect(off).toBeLessThan(0.01)
})

it('old opsets are refused', async () => {
  const read = () => ({ ...graphOf([], [], { x: [], y: [] }), opsets: [{ version: 10 }] })
  const opening = OnnxRuntimeModel.load(sourceOf(read), ON_CPU, { precision: rewriteInt8(undefined) })
  await expect(opening).rejects.toThrow(
    new EngineError('model', 'small.onnx uses opset 10; export it again with opset 11 or newer to run it in int8.'),
  )
})

async function run(read: () => OnnxGraph, x: Tensor, precision?: ReturnType<typeof rewriteInt8>): Promise<Tensor> {
  const model = await OnnxRuntimeModel.load(sourceOf(read), ON_CPU, precision && { precision })
  const [y] = await model.run({ x }, ['y'])
  await model.release()
  return y!
}

async function draw(pipe: StableDiffusionPipeline, prompt: string): Promise<Tensor> {
  return (await pipe.generate({ prompt, generator: new Generator(1), outputType: 'np' })).images
}

function peakSignalToNoise(given: Tensor, wanted: Tensor): number {
  return -10 * Math.log10(meanSquare(given.data.map((value, i) => value - wanted.data[i]!)))
}

function relativeError(given: Tensor, wanted: Tensor): number {
  return Math.sqrt(meanSquare(given.data.map((value, i) => value - wanted.data[i]!)) / meanSquare(wanted.data))
}

function meanSquare(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value ** 2, 0) / values.length
}
