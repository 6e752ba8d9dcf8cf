/** Takes out of a graph what nothing uses after it was rewritten. */

import protobuf from 'protobufjs/light.js'
import { GRAPH, type OnnxGraph } from './onnx-file.ts'
import { type GraphProto, type NodeProto, valueInfoProto } from './onnx-schema.ts'

/** Nodes whose outputs go nowhere, and weights that no node takes. */
export function withoutUnused(graph: OnnxGraph): OnnxGraph {
  const outputs = outputsOf(graph)
  let { nodes } = graph
  for (;;) {
    const used = namesIn(nodes, new Set(outputs))
    const kept = nodes.filter(({ output }) => output.some((name) => used.has(name)))
    if (kept.length === nodes.length)
      return { ...graph, nodes, initializers: graph.initializers.filter(({ tensor }) => used.has(tensor.name!)) }
    nodes = kept
  }
}

function outputsOf({ graphRest }: OnnxGraph): string[] {
  return graphRest.flatMap((field) => {
    const reader = protobuf.Reader.create(field)
    return reader.uint32() >>> 3 === GRAPH.output ? [valueInfoProto.decode(reader.bytes()).name] : []
  })
}

/** What nodes take, and the nodes of loops and branches inside them. */
function namesIn(nodes: readonly NodeProto[], names: Set<string>): Set<string> {
  for (const { input, attribute } of nodes) {
    for (const name of input) names.add(name)
    for (const { g } of attribute) if (g) inside(g, names)
  }
  return names
}

function inside({ node, output }: GraphProto, names: Set<string>): void {
  namesIn(node, names)
  for (const { name } of output) names.add(name)
}
