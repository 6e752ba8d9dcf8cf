import { describe, expect, it } from 'vitest'
import { int } from '../../src/engine/graph/attributes.ts'
import type { OnnxGraph } from '../../src/engine/graph/onnx-file.ts'
import { AttributeType, DataType } from '../../src/engine/graph/onnx-schema.ts'
import { rewriteAttention } from '../../src/engine/graph/rewrite-attention.ts'
import { toFloat32 } from '../../src/engine/graph/to-float32.ts'
import { writeUNet } from '../../src/engine/graph/write/unet.ts'
import { graphOf, inFile, node, numbers } from './small-graph.ts'
import { compare } from './tiny-pipeline.ts'
import { feedsOf, openGraph, readCase, runGraph, writtenWeights } from './written-graphs.ts'

describe('a half-precision graph in float32', () => {
  const one = readCase('unet-sd1-fp16')
  const weights = writtenWeights(one, 'F16')

  it.each<[string, (graph: OnnxGraph) => OnnxGraph]>([
    ['as it is', (graph) => graph],
    // Their nodes are inside a loop.
    ['with its attention in slices', (graph) => rewriteAttention(1).apply(graph, 'unet')],
  ])('%s gives what one written in float32 gives', async (_, prepared) => {
    const feeds = feedsOf(one)
    const wanted = (await runGraph(writeUNet(one.config, weights), feeds)).get('out_sample')!
    const single = toFloat32(prepared(writeUNet(one.config, weights, { half: true })))
    const given = (await runGraph(single, feeds)).get('out_sample')!
    const { difference, magnitude } = compare(given, wanted)
    // Constants of the graph itself were rounded to half; ten times closer than computing in half comes.
    expect(difference).toBeLessThan(2e-4 * magnitude)
    const session = await openGraph(single)
    const types = [...session.inputMetadata, ...session.outputMetadata].map((value) => 'type' in value && value.type)
    expect(types).not.toContain('float16')
  })

  it('constants and casts inside it are widened too', async () => {
    const half = { dims: [1], dataType: DataType.FLOAT16, rawData: new Uint8Array([0, 0x3c]) }
    const one = (name: string) =>
      node('Constant', [], name, { attribute: [{ name: 'value', type: AttributeType.TENSOR, t: half }] })
    const branch = (name: string, opType: string) => ({
      name,
      type: AttributeType.GRAPH,
      g: {
        name,
        node: [one(`${name}_one`), node(opType, ['sum', `${name}_one`], `${name}_sum`)],
        initializer: [],
        input: [],
        output: [
          {
            name: `${name}_sum`,
            type: {
              tensorType: { elemType: DataType.FLOAT16, shape: { dim: [{ dimParam: 'rows' }, { dimValue: 8 }] } },
            },
          },
        ],
      },
    })
    const condition = { tensor: { name: 'condition', dims: [], dataType: DataType.BOOL, int32Data: [0] } }
    const graph = () =>
      graphOf(
        [
          one('one'),
          node('Cast', ['x'], 'narrow', { attribute: [int('to', DataType.FLOAT16)] }),
          node('MatMul', ['narrow', 'w'], 'product'),
          node('Add', ['product', 'one'], 'sum'),
          node('If', ['condition'], 'chosen', {
            attribute: [branch('then_branch', 'Add'), branch('else_branch', 'Sub')],
          }),
          node('Cast', ['chosen'], 'y', { attribute: [int('to', DataType.FLOAT)] }),
        ],
        [inFile('w', [8, 8], numbers(64), 'F16'), condition],
        { x: ['rows', 8], y: ['rows', 8] },
      )
    const x = { data: numbers(16, 2), dims: [2, 8] }
    const wanted = (await runGraph(graph(), { x })).get('y')!
    const given = (await runGraph(toFloat32(graph()), { x })).get('y')!
    expect(compare(given, wanted).difference).toBeLessThan(4e-3)
    expect(toFloat32(graph()).nodes.flatMap(({ attribute }) => attribute.map(({ i }) => i))).not.toContain(
      DataType.FLOAT16,
    )
  })
})
