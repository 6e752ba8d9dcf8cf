/** The LoRAs that a pipeline has loaded, which of them are in use, and what the models are fed for that. */

import { EngineError } from '../errors.ts'
import type { LoraBranches, LoraFeeds } from '../models/lora-branches.ts'
import { type Lora, readLora } from '../weights/lora.ts'
import type { LoraPart } from '../weights/lora-names.ts'
import type { WeightFile } from '../weights/tensor-map.ts'
import { wrong } from './wrong-argument.ts'

/** diffusers' names of the parts, in camelCase. */
const COMPONENTS = { unet: 'unet', textEncoder: 'text_encoder', textEncoder2: 'text_encoder_2' } as const

export type LoraComponent = keyof typeof COMPONENTS

/** How much of a LoRA is added: one number for all its parts, or one for each; those left out have 1. May be negative. */
export type AdapterWeight = number | Readonly<Partial<Record<LoraComponent, number>>>

/** A loaded LoRA, and how much of it one call wants; 1 where that is left out. */
export interface AdapterSelection {
  readonly name: string
  readonly weight?: AdapterWeight | undefined
}

interface Adapter {
  readonly id: number
  readonly lora: Lora
}

export class LoraAdapters {
  readonly #branches: ReadonlyMap<LoraPart, LoraBranches>
  readonly #adapters = new Map<string, Adapter>()
  #active: readonly AdapterSelection[] = []
  #isEnabled = true
  #loaded = 0
  /** Whoever asks for the same again gets the same memory. */
  #last: { readonly key: string; readonly feeds: LoraFeeds } | undefined

  /** @param branches Of the parts that the pipeline has. */
  constructor(branches: ReadonlyMap<LoraPart, LoraBranches>) {
    this.#branches = branches
  }

  /**
   * Adds one, and from now on uses it alone, as diffusers does.
   * @param path What errors name.
   * @returns Its name.
   * @throws EngineError 'argument' for a name that is taken, 'model' for what is no LoRA for this model.
   */
  async load(file: WeightFile, path: string, given?: string): Promise<string> {
    if (given !== undefined) this.#requireFree(given)
    const lora = readLora(file, path, (part) => this.#branches.get(part)?.layers)
    for (const part of lora.keys()) await this.#branches.get(part)!.enable()
    const name = given ?? this.#freeName()
    // Another may have been loaded under it meanwhile.
    this.#requireFree(name)
    this.#adapters.set(name, { id: this.#loaded++, lora })
    this.#active = [{ name }]
    return name
  }

  /** @throws EngineError 'argument' for a name that is not loaded, or a weight that is no number. */
  setActive(names: string | readonly string[], weights?: AdapterWeight | readonly AdapterWeight[]): void {
    const list = typeof names === 'string' ? [names] : names
    const each = isList(weights) ? weights : list.map(() => weights)
    if (each.length !== list.length)
      throw wrong('weights', `one weight, or a list of ${list.length}, one an adapter`, `${each.length} of them`)
    const selection = list.map((name, i) => ({ name, weight: each[i] }))
    this.#check(selection)
    this.#active = selection
  }

  get active(): string[] {
    return this.#active.map(({ name }) => name)
  }

  /** The names of those that change each part. */
  list(): Partial<Record<LoraComponent, string[]>> {
    const having = (part: LoraPart) =>
      [...this.#adapters].filter(([, { lora }]) => lora.has(part)).map(([name]) => name)
    const parts = Object.entries(COMPONENTS).map(([component, part]) => [component, having(part)] as const)
    return Object.fromEntries(parts.filter(([, names]) => names.length > 0))
  }

  /** @throws EngineError 'argument' for a name that is not loaded. */
  delete(names: string | readonly string[]): void {
    const list = typeof names === 'string' ? [names] : names
    this.#check(list.map((name) => ({ name })))
    for (const name of list) this.#adapters.delete(name)
    this.#active = this.#active.filter(({ name }) => this.#adapters.has(name))
    this.#last = undefined
  }

  clear(): void {
    this.delete([...this.#adapters.keys()])
    this.#isEnabled = true
  }

  /** Whether the active ones are in use. */
  set isEnabled(isEnabled: boolean) {
    this.#isEnabled = isEnabled
  }

  /**
   * What one sampling feeds to the models: its own, whatever is set later.
   * @param selection In place of the active ones, enabled or not.
   * @param scale Multiplies all weights.
   * @returns Nothing where no LoRA is in use.
   * @throws EngineError 'argument'
   */
  feeds(selection: readonly AdapterSelection[] | undefined, scale = 1): LoraFeeds | undefined {
    if (selection) this.#check(selection)
    const wanted = selection ?? (this.#isEnabled ? this.#active : [])
    if (wanted.length === 0) return undefined
    const parts = [...this.#branches.keys()].map((part) => [part, this.#weightedFor(part, wanted, scale)] as const)
    const keys = new Map(
      parts.map(([part, loras]) => [part, loras.map(({ id, weight }) => `${id}*${weight}`).join('+')]),
    )
    const key = [...keys].join()
    if (this.#last?.key === key) return this.#last.feeds
    const byPart = new Map(
      parts
        .filter(([, loras]) => loras.length > 0)
        .map(([part, loras]) => [part, this.#branches.get(part)!.feeds(loras)]),
    )
    const textKey = [...keys].filter(([part]) => part !== 'unet').join()
    this.#last = { key, feeds: { textKey, byPart } }
    return this.#last.feeds
  }

  #requireFree(name: string): void {
    if (this.#adapters.has(name))
      throw new EngineError(
        'argument',
        `The adapter name '${name}' is in use already; give another, or delete that adapter.`,
      )
  }

  /** diffusers' names of adapters that were given none. */
  #freeName(): string {
    let number = this.#adapters.size
    while (this.#adapters.has(`default_${number}`)) number++
    return `default_${number}`
  }

  #weightedFor(part: LoraPart, wanted: readonly AdapterSelection[], scale: number) {
    return wanted.flatMap(({ name, weight = 1 }) => {
      const { id, lora } = this.#adapters.get(name)!
      const matrices = lora.get(part)
      return matrices ? [{ id, matrices, weight: scale * weightOf(part, weight) }] : []
    })
  }

  #check(selection: readonly AdapterSelection[]): void {
    for (const { name, weight } of selection) {
      if (!this.#adapters.has(name)) {
        const loaded = [...this.#adapters.keys()].map((one) => `'${one}'`).join(', ') || 'none'
        throw new EngineError('argument', `No adapter '${name}' is loaded (${loaded}); load it with loadLoraWeights.`)
      }
      if (weight !== undefined && !isWeight(weight))
        throw wrong('weight', `a number, or numbers for ${Object.keys(COMPONENTS).join(', ')}`, weight)
    }
  }
}

function isList(weights: AdapterWeight | readonly AdapterWeight[] | undefined): weights is readonly AdapterWeight[] {
  return Array.isArray(weights)
}

function isWeight(weight: unknown): weight is AdapterWeight {
  if (typeof weight === 'number') return Number.isFinite(weight)
  if (typeof weight !== 'object' || weight === null) return false
  return Object.entries(weight).every(
    ([component, own]) => component in COMPONENTS && (own === undefined || Number.isFinite(own)),
  )
}

function weightOf(part: LoraPart, weight: AdapterWeight): number {
  if (typeof weight === 'number') return weight
  const [component] = Object.entries(COMPONENTS).find(([, own]) => own === part)!
  return weight[component as LoraComponent] ?? 1
}
