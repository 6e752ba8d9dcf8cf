/** Reads a LoRA for the layers of a pipeline: which of its matrices go where, and how strongly. */

import { allFinite } from '../tensor.ts'
import { example, loraPairs, type StoredPair } from './lora-file.ts'
import { type LoraPart, modulesByName, splitKey } from './lora-names.ts'
import { loraScales } from './lora-scale.ts'
import { readFloats } from './read-floats.ts'
import type { StoredTensor } from './stored-tensor.ts'
import type { WeightFile } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'

/** What a LoRA adds to one layer: `scale · up · down`. */
export interface LowRank {
  readonly rank: number
  /** [rank, inputs], of a convolution [rank, inputs, height, width]. */
  readonly down: Float32Array
  /** [outputs, rank] */
  readonly up: Float32Array
  /** alpha / rank, as the file has it. */
  readonly scale: number
}

/** By part, by the layer's name in its graph; parts that it leaves alone are not there. */
export type Lora = ReadonlyMap<LoraPart, ReadonlyMap<string, LowRank>>

/** A linear layer or a convolution of the model. */
export interface Layer {
  /** The module as torch has it: `down_blocks.1.attentions.0.proj_in`. */
  readonly name: string
  readonly inputs: number
  readonly outputs: number
  /** A convolution's, [height, width]; a linear layer has none. */
  readonly kernel: readonly number[]
}

/** The layers of a part of the pipeline, asked for where a file changes it; nothing for a part that is not there. */
export type LayersOf = (part: LoraPart) => readonly Layer[] | undefined

/**
 * @param path What errors name.
 * @throws EngineError 'model' where the file is no LoRA, or damaged, or of a kind that is not supported, or for another model.
 */
export function readLora(file: WeightFile, path: string, layersOf: LayersOf): Lora {
  const lora = new Map<LoraPart, Map<string, LowRank>>()
  const scaleOf = loraScales(file, path)
  for (const { part, layer, pair } of placed(loraPairs(file, path), path, layersOf)) {
    checkWidths(pair, layer, path)
    const own = lora.get(part) ?? new Map<string, LowRank>()
    lora.set(part, own.set(layer.name, lowRank(pair, scaleOf(part, layer.name, pair), path)))
  }
  return lora
}

interface Placed {
  readonly part: LoraPart
  readonly layer: Layer
  readonly pair: StoredPair
}

function placed(pairs: readonly StoredPair[], path: string, layersOf: LayersOf): Placed[] {
  const byName = new Map<LoraPart, ReadonlyMap<string, Layer>>()
  const found: Placed[] = []
  const homeless: string[] = []
  for (const pair of pairs) {
    const { part, module } = splitKey(pair.key)
    const layers = byName.get(part) ?? layersByName(part, layersOf(part) ?? [])
    byName.set(part, layers)
    const layer = layers.get(module)
    if (layer) found.push({ part, layer, pair })
    else homeless.push(pair.key)
  }
  if (homeless.length === 0) return found
  const some = found.length === 0 ? 'its layers' : `${homeless.length} of its ${pairs.length} layers`
  throw weightError(
    path,
    `is a LoRA for another model: this one lacks ${some}${example(homeless)}; use it with a model of its family.`,
  )
}

/** By every name that files give them. */
function layersByName(part: LoraPart, layers: readonly Layer[]): ReadonlyMap<string, Layer> {
  const byModule = new Map(layers.map((layer) => [layer.name, layer]))
  const names = modulesByName(part, [...byModule.keys()])
  return new Map([...names].map(([name, module]) => [name, byModule.get(module)!]))
}

/** Files that were trained on convolutions of 1×1 and models that have a linear layer there mean the same, and the reverse. */
function checkWidths({ key, down, up, mid }: StoredPair, layer: Layer, path: string): void {
  const [rank = 1] = down.shape
  const positions = layer.kernel.reduce((product, side) => product * side, 1)
  const inputs = product(down.shape) / rank
  const isKernel = mid
    ? product(mid.shape) === rank * rank * positions && inputs === layer.inputs
    : inputs === layer.inputs * positions
  if (isKernel && product(up.shape) === layer.outputs * rank) return
  throw weightError(
    path,
    `is a LoRA for a model of another family: its ${quoted(key)} takes ${down.shape[1]} numbers and gives ${up.shape[0]},` +
      ` where this model's takes ${layer.inputs} and gives ${layer.outputs}.`,
  )
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, dim) => all * dim, 1)
}

function lowRank({ key, down, up, mid }: StoredPair, scale: number, path: string): LowRank {
  const rank = down.shape[0]!
  const numbers = (tensor: StoredTensor) => {
    const read = readFloats(tensor)
    if (!read) throw weightError(path, `holds ${tensor.dtype} numbers; use the LoRA in float32 or half precision.`)
    return read
  }
  const outer = numbers(down)
  const all = { down: mid ? folded(numbers(mid), outer, rank) : outer, up: numbers(up) }
  if (!allFinite(all.down) || !allFinite(all.up))
    throw weightError(path, `is damaged: ${quoted(key)} holds NaN or infinity; download it again.`)
  return { rank, ...all, scale }
}

/** Tucker's middle [rank, rank, positions] times `down` [rank, inputs]: [rank, inputs, positions]. */
function folded(mid: Float32Array, down: Float32Array, rank: number): Float32Array {
  const inputs = down.length / rank
  const positions = mid.length / rank ** 2
  const out = new Float32Array(rank * inputs * positions)
  for (let r = 0; r < rank; r++)
    for (let s = 0; s < rank; s++)
      for (let i = 0; i < inputs; i++) {
        const by = down[s * inputs + i]!
        const from = (r * rank + s) * positions
        const to = (r * inputs + i) * positions
        for (let p = 0; p < positions; p++) out[to + p]! += by * mid[from + p]!
      }
  return out
}
