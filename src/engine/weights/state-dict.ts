/** From what a checkpoint of PyTorch holds to tensors by name: training programs wrap their weights in maps of maps. */

import { type PickleValue, PyObject, TorchTensor } from './pickle-values.ts'

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TorchTensor>
  /** Numbers and words that stand beside the weights, by name: `global_step`, a textual inversion's `name`. */
  readonly metadata: ReadonlyMap<string, string>
}

/** Below the weights themselves: `string_to_param` of a textual inversion is one level down. */
const DEEPEST = 3
const MOST_ENTRIES = 200_000
const LONGEST_WORD = 10_000

/** @returns Nothing where it is no map, or one that is too large. */
export function stateDict(value: PickleValue): StateDict | undefined {
  const tensors = new Map<string, TorchTensor>()
  const metadata = new Map<string, string>()
  let left = MOST_ENTRIES

  const collect = (map: Map<PickleValue, PickleValue>, prefix: string, depth: number): void => {
    for (const [key, item] of map) {
      if (left-- <= 0 || (typeof key !== 'string' && typeof key !== 'number')) continue
      const name = `${prefix}${key}`
      const inner = innerMap(item)
      if (item instanceof TorchTensor) tensors.set(name, item)
      else if (inner && depth < DEEPEST) collect(inner, `${name}.`, depth + 1)
      else if (isWord(item)) metadata.set(name, String(item).slice(0, LONGEST_WORD))
    }
  }

  let map = innerMap(value)
  // As diffusers does it (`load_state_dict` in loaders/single_file_utils.py); what stands beside it are the training's own tensors.
  for (let depth = 0; depth < DEEPEST && map; depth++) {
    const inner = innerMap(map.get('state_dict'))
    if (!inner) break
    for (const [key, item] of map)
      if (typeof key === 'string' && isWord(item)) metadata.set(key, String(item).slice(0, LONGEST_WORD))
    map = inner
  }
  if (!map) return undefined
  collect(map, '', 0)
  return left < 0 ? undefined : { tensors, metadata }
}

/** A map, or the parameters of torch's ParameterDict. */
function innerMap(value: PickleValue | undefined): Map<PickleValue, PickleValue> | undefined {
  if (value instanceof Map) return value
  if (!(value instanceof PyObject && value.state instanceof Map)) return undefined
  const parameters = value.state.get('_parameters')
  return parameters instanceof Map ? parameters : undefined
}

function isWord(value: PickleValue): value is string | number | bigint | boolean {
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}
