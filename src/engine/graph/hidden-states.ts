/** The hidden states between a text encoder's layers: where they are in its graph, and a graph that gives them out. */

import { findLayerNorm } from './find-layer-norm.ts'
import type { Rewrite } from './graph-source.ts'
import { outputField } from './onnx-bytes.ts'
import { Surroundings } from './surroundings.ts'

/**
 * The values that transformers' CLIPTextModel calls `hidden_states`: what goes into the first layer, then what comes out
 * of each. Found from the end: CLIP's layers add what they compute to what they were given, attention first, then the MLP,
 * and the last sum goes through the final layer norm.
 * @param lastHiddenState The output that this norm makes.
 * @returns Their names in order; none where the graph has another form.
 */
export function findHiddenStates(surroundings: Surroundings, lastHiddenState: string): string[] {
  // What is added to is used once more, by the norm in front of attention or MLP; what these computed is used here alone.
  const addedTo = (sum: string) => {
    const node = surroundings.maker(sum)
    const sums = node?.opType === 'Add' ? node.input.filter((name) => surroundings.isShared(name)) : []
    return sums.length === 1 && surroundings.maker(sums[0]!)?.opType === 'Add' ? sums[0] : undefined
  }
  const sums: string[] = []
  for (let sum = findLayerNorm(surroundings, lastHiddenState)?.input; sum !== undefined; sum = addedTo(sum))
    sums.unshift(sum)
  return sums.length % 2 === 1 ? sums.filter((_, i) => i % 2 === 0) : []
}

/** Before a number. Values inside a graph may be called `hidden_states.3`, as older exporters took over Python's names. */
export const EXPOSED = 'clip-skip/hidden_states.'

/** Gives out those states, named `EXPOSED` and 0 … N, beside all that the graph gave out before, where they are found. */
export function exposeHiddenStates(lastHiddenState: string): Rewrite {
  return {
    apply(graph) {
      const states = findHiddenStates(new Surroundings(graph), lastHiddenState)
      const names = states.map((_, i) => `${EXPOSED}${i}`)
      const nodes = states.map((state, i) => ({
        opType: 'Identity',
        input: [state],
        output: [names[i]!],
        attribute: [],
      }))
      return {
        ...graph,
        nodes: [...graph.nodes, ...nodes],
        graphRest: [...graph.graphRest, ...names.map((name) => outputField(name))],
      }
    },
  }
}
