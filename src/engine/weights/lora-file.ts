/** What a LoRA's file holds, whoever trained it: pairs of matrices by the module that they go to. */

import type { StoredTensor } from './stored-tensor.ts'
import type { WeightFile } from './tensor-map.ts'
import { quoted, weightError } from './weight-error.ts'

/** The matrices of one module. */
export interface StoredPair {
  /** The module as the file calls it, prefixes and all. */
  readonly key: string
  /** [rank, inputs], of a convolution [rank, inputs, height, width]. */
  readonly down: StoredTensor
  /** [outputs, rank], of a convolution [outputs, rank, 1, 1]. */
  readonly up: StoredTensor
  /** Tucker's decomposition of a convolution: [rank, rank, height, width] between the two, which are 1×1 then. */
  readonly mid?: StoredTensor
  /** A number; the branch is scaled by it over the rank. */
  readonly alpha?: StoredTensor
}

type Role = 'down' | 'up' | 'mid' | 'alpha'

/** kohya's and LyCORIS' keys, diffusers', those of its attention processors, and peft's with or without the adapter's name. */
const ROLES: readonly (readonly [pattern: RegExp, role: (word: string) => Role])[] = [
  [/^(.+)\.lora_(down|up|mid)\.weight$/, (word) => word as Role],
  [/^(.+?)[._]lora(?:_linear_layer)?\.(down|up)\.weight$/, (word) => word as Role],
  [/^(.+?)\.lora_([AB])(?:\.[^.]+)?\.weight$/, (word) => (word === 'A' ? 'down' : 'up')],
  [/^(.+?)(?:[._]lora(?:_linear_layer)?)?\.(alpha)$/, () => 'alpha'],
]

/** Other ways to change a model by a small file, by a key that only they have. */
const OTHER_METHODS: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/\.hada_w/, 'LoHa'],
  [/\.lokr_w/, 'LoKr'],
  [/\.dora_scale$|\.lora_magnitude_vector/, 'DoRA'],
  [/\.oft_|\.boft_/, 'OFT'],
  [/\.[ab][12]\.weight$/, 'GLoRA'],
  [/\.on_input$/, '(IA)³'],
  [/\.diff(?:_b)?$/, 'LyCORIS full'],
  [/\.[wb]_norm$/, 'LyCORIS norm'],
  [/lora_embedding_[AB]/, 'a LoRA of embeddings'],
  [/lora_[AB](?:\.[^.]+)?\.bias$/, 'a LoRA with biases'],
]

/**
 * @param path What errors name.
 * @throws EngineError 'model' where it is no LoRA, of a kind that is not supported, or incomplete.
 */
export function loraPairs({ weights }: WeightFile, path: string): StoredPair[] {
  const pairs = new Map<string, Partial<Record<Role, StoredTensor>>>()
  const unread: string[] = []
  for (const name of weights.names()) {
    const found = roleOf(name)
    if (!found) unread.push(name)
    else pairs.set(found.key, { ...pairs.get(found.key), [found.role]: weights.get(name)! })
  }
  refuseOtherMethods([...weights.names()], path)
  if (pairs.size === 0)
    throw weightError(path, `is no LoRA: none of its keys is a LoRA's${example(unread)}; give another file.`)
  if (unread.length > 0)
    throw weightError(path, `holds keys that are not a LoRA's${example(unread)}; give another file.`)
  return [...pairs].map(([key, pair]) => complete(key, pair, path))
}

function roleOf(name: string): { key: string; role: Role } | undefined {
  for (const [pattern, role] of ROLES) {
    const match = pattern.exec(name)
    if (match) return { key: match[1]!, role: role(match[2]!) }
  }
  return undefined
}

function refuseOtherMethods(names: readonly string[], path: string): void {
  for (const [pattern, method] of OTHER_METHODS)
    if (names.some((name) => pattern.test(name)))
      throw weightError(path, `is ${method}, which is not supported; give a LoRA or a LoCon.`)
}

function complete(
  key: string,
  { down, up, mid, alpha }: Partial<Record<Role, StoredTensor>>,
  path: string,
): StoredPair {
  if (!down || !up) throw weightError(path, `has only one of the two matrices of ${quoted(key)}; download it again.`)
  const rank = down.shape[0] ?? 0
  const isTucker = mid === undefined || (mid.shape.length === 4 && mid.shape[0] === rank && mid.shape[1] === rank)
  const isPair = down.shape.length >= 2 && up.shape.length >= 2 && rank > 0 && up.shape[1] === rank
  const isNumber = alpha === undefined || alpha.shape.every((dim) => dim === 1)
  if (isPair && isTucker && isNumber) return { key, down, up, ...(mid && { mid }), ...(alpha && { alpha }) }
  throw weightError(path, `is damaged: the matrices of ${quoted(key)} do not fit together; download it again.`)
}

/** In brackets, some of the keys that something is said about. */
export function example(keys: readonly string[]): string {
  if (keys.length === 0) return ''
  return ` (${keys.slice(0, 3).map(quoted).join(', ')}${keys.length > 3 ? ' …' : ''})`
}
