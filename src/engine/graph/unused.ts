/** Takes out of a graph what nothing uses after it was rewritten. */

import type { OnnxGraph } from './onnx-file.ts'
import type { GraphProto, NodeProto } from './onnx-schema.ts'

/** Weights that no node takes, and the casts and names that were theirs alone. */
export function withoutUnused(graph: OnnxGraph): OnnxGraph {
  let { nodes } = graph
  const weights = new Set(graph.initializers.map(({ tensor }) => tensor.name!))
  for (let used = namesIn(nodes); ; used = namesIn(nodes)) {
    const kept = nodes.filter((node) => !renamesWeight(node, weights) || node.output.some((name) => used.has(name)))
    if (kept.length === nodes.length)
      return { ...graph, nodes, initializers: graph.initializers.filter(({ tensor }) => used.has(tensor.name!)) }
    nodes = kept
  }
}

/** What renames or retypes anything else may be an output of the graph. */
function renamesWeight({ opType, input }: NodeProto, weights: ReadonlySet<string>): boolean {
  return (opType === 'Cast' || opType === 'Identity') && weights.has(input[0]!)
}

/** What nodes take, and the nodes of loops and branches inside them. */
function namesIn(nodes: readonly NodeProto[], names = new Set<string>()): Set<string> {
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
