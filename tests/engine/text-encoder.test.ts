/** The text encoder's earlier layers, which most exports keep inside: found, given out, and nothing else changed. */

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, rename, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.ts'
import { exportedGraph } from '../../src/engine/graph/graph-source.ts'
import { findHiddenStates } from '../../src/engine/graph/hidden-states.ts'
import { encodeOnnx } from '../../src/engine/graph/onnx-bytes.ts'
import { readOnnx } from '../../src/engine/graph/onnx-file.ts'
import { Surroundings } from '../../src/engine/graph/surroundings.ts'
import { OnnxRuntimeModel, type SessionSettings } from '../../src/engine/models/onnx-runtime-model.ts'
import { CLIPTextModel } from '../../src/engine/models/text-encoder.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

const GRAPHS = fileURLToPath(new URL('../fixtures/graphs/', import.meta.url))
const IDS = [[38, 1, 2, 3, 4, 5, 6, 39]]

function copied(name: string): string {
  const path = join(temporaryFolder(), 'model.onnx')
  copyFileSync(join(GRAPHS, name), path)
  return path
}

async function open(path: string, settings: Partial<SessionSettings> = {}, fp32Path?: string): Promise<CLIPTextModel> {
  const source = exportedGraph('text_encoder', path, fp32Path)
  return new CLIPTextModel(await OnnxRuntimeModel.load(source, { device: 'cpu', ...settings }), {})
}

/** The file with an input of [1, 8] in place of [b, s]: `dim_param`s become `dim_value`s of as many bytes. */
function ofFixedShape(bytes: Buffer): Buffer {
  const input = bytes.lastIndexOf('input_ids')
  for (const [name, value] of [
    ['b', 1],
    ['s', 8],
  ] as const) {
    Buffer.from([0x08, 0x80 | value, 0]).copy(bytes, bytes.indexOf(`\x12\x01${name}`, input))
  }
  return bytes
}

/** The file with its token embeddings, and whatever else is large, times `factor`. */
function scaled(path: string, factor: number): Buffer {
  const bytes = readFileSync(path)
  for (const { place } of readOnnx(path).initializers) {
    for (let at = 0; place && at < place.length; at += 4) {
      bytes.writeFloatLE(bytes.readFloatLE(place.offset + at) * factor, place.offset + at)
    }
  }
  return bytes
}

describe('an export from before LayerNormalization was an operator, of three layers', () => {
  it.each([
    // By transformers: final_layer_norm(hidden_states[-1 - fromEnd]), of the fourth token.
    [1, [0.0583, -1.4276, -1.0177, -0.7526, 1.7137, 0.4344, 1.0984, -0.9478]],
    [2, [1.028, -1.3941, -1.054, 0.6658, 1.4519, -0.2594, 0.2059, -0.6031]],
  ])('gives the layer %i from the end, as transformers computes it', async (fromEnd, wanted) => {
    const textEncoder = await open(copied('text-encoder-opset14.onnx'))
    const { hiddenStates } = await textEncoder.encode(IDS, fromEnd, true)
    expect(hiddenStates.dims).toEqual([1, 8, 8])
    wanted.forEach((value, i) => {
      expect(hiddenStates.data[3 * 8 + i]).toBeCloseTo(value, 4)
    })
  })

  it('gives the same last layer as before, bit for bit, and nothing is written beside it', async () => {
    const path = copied('text-encoder-opset14.onnx')
    const textEncoder = await open(path)
    const before = await textEncoder.encode(IDS)
    expect(textEncoder.skippableLayers(true)).toBe(2)
    await Promise.all([1, 2].map((fromEnd) => textEncoder.encode(IDS, fromEnd)))
    expect(await textEncoder.encode(IDS)).toEqual(before)
    expect(textEncoder.skippableLayers(true)).toBe(2)
    expect((await open(path)).skippableLayers(true)).toBe(2)
    expect(await readdir(dirname(path))).toHaveLength(1)
  })

  it('works where the hub’s cache keeps every file behind a link', async () => {
    const path = copied('text-encoder-opset14.onnx')
    const wanted = await (await open(path)).encode(IDS, 1, true)
    const linked = join(temporaryFolder(), 'model.onnx')
    await mkdir(join(dirname(linked), 'blobs'))
    await rename(path, join(dirname(linked), 'blobs/0123'))
    await symlink('blobs/0123', linked)
    expect(await (await open(linked)).encode(IDS, 1, true)).toEqual(wanted)
  })

  it('keeps two revisions in the hub’s cache apart that share a graph and not the weights', async () => {
    const inside = copied('text-encoder-opset14.onnx')
    const cache = temporaryFolder()
    await mkdir(join(cache, 'blobs'))
    const { initializers, ...rest } = readOnnx(inside)
    const outside = join(cache, 'weights.pb')
    copyFileSync(inside, outside)
    const elsewhere = initializers.map((one) => (one.place ? { ...one, place: { ...one.place, path: outside } } : one))
    writeFileSync(join(cache, 'blobs/graph'), encodeOnnx({ ...rest, initializers: elsewhere }).bytes)
    const encoded = []
    for (const factor of [1, 2]) {
      writeFileSync(join(cache, `blobs/weights${factor}`), scaled(inside, factor))
      const snapshot = join(cache, `snapshot${factor}`)
      await mkdir(snapshot)
      await symlink('../blobs/graph', join(snapshot, 'model.onnx'))
      await symlink(`../blobs/weights${factor}`, join(snapshot, 'weights.pb'))
      encoded.push(await (await open(join(snapshot, 'model.onnx'))).encode(IDS, 1, true))
    }
    writeFileSync(inside, scaled(inside, 2))
    expect(encoded[1]).toEqual(await (await open(inside)).encode(IDS, 1, true))
    expect(encoded[0]).not.toEqual(encoded[1])
  })

  it('works where values inside the graph have those names, as older exporters gave them', async () => {
    const path = copied('text-encoder-opset14.onnx')
    const wanted = await (await open(path)).encode(IDS, 1, true)
    const graph = readOnnx(path)
    const inside = findHiddenStates(new Surroundings(graph), 'last_hidden_state')
    const renamed = (names: string[]) =>
      names.map((name) => (inside.includes(name) ? `hidden_states.${inside.indexOf(name) + 1}` : name))
    graph.nodes = graph.nodes.map((node) =>
      [...node.input, ...node.output].some((name) => inside.includes(name))
        ? { ...node, input: renamed(node.input), output: renamed(node.output) }
        : node,
    )
    const other = join(dirname(path), 'other.onnx')
    writeFileSync(other, encodeOnnx(graph).bytes)
    expect(await (await open(other)).encode(IDS, 1, true)).toEqual(wanted)
  })

  it('gives the layer of the float32 file where half precision computes NaN', async () => {
    const fp32Path = copied('text-encoder-opset14.onnx')
    const wanted = await (await open(fp32Path)).encode(IDS, 1, true)
    const path = join(dirname(fp32Path), 'model_fp16.onnx')
    writeFileSync(path, scaled(fp32Path, Number.NaN))
    const notices: string[] = []
    const textEncoder = await open(path, { onNotice: (message) => notices.push(message) }, fp32Path)
    expect(await textEncoder.encode(IDS, 1, true)).toEqual(wanted)
    expect(await textEncoder.encode(IDS, 1, true)).toEqual(wanted)
    expect(notices).toHaveLength(1)
    writeFileSync(fp32Path, scaled(fp32Path, Number.NaN))
    const broken = await open(path, {}, fp32Path)
    await expect(broken.encode(IDS, 1)).rejects.toMatchObject({ code: 'numeric' })
  })

  it('leaves the last layer as it is, bit for bit, where shapes are known and operators could be joined', async () => {
    const path = copied('text-encoder-opset14.onnx')
    writeFileSync(path, ofFixedShape(readFileSync(path)))
    const textEncoder = await open(path)
    const before = await textEncoder.encode(IDS)
    await textEncoder.encode(IDS, 1)
    expect(await textEncoder.encode(IDS)).toEqual(before)
  })

  it('says which layer there is not', async () => {
    const textEncoder = await open(copied('text-encoder-opset14.onnx'))
    await expect(textEncoder.encode(IDS, 9)).rejects.toThrow(
      new EngineError(
        'argument',
        'The text_encoder has no hidden state 9 from the end; choose a lower clipSkip, or leave it out.',
      ),
    )
  })
})

it('finds no layers in a graph of another form', async () => {
  const other = await open(copied('unet-with-control.onnx'))
  expect(other.skippableLayers(false)).toBe(0)
  await expect(other.encode(IDS, 1)).rejects.toThrow(/has no hidden state 1 from the end/)
})
