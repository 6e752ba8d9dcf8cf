/** Reads a config.json of diffusers or transformers: what it leaves out is the class's default, what we cannot write is refused. */

import type { Config } from '../../config-file.ts'
import { EngineError } from '../../errors.ts'

export class ConfigReader {
  readonly part: string
  readonly #config: Config

  /** @param part As errors name it: 'UNet', 'VAE' … */
  constructor(part: string, config: Config) {
    this.part = part
    this.#config = config
  }

  /** Whether it is there, and not null. */
  has(key: string): boolean {
    return (this.#config[key] ?? null) !== null
  }

  /** Whether it is there, and null. */
  isNull(key: string): boolean {
    return this.#config[key] === null
  }

  /** @throws EngineError 'model' where it is no number */
  number(key: string, fallback: number): number {
    const value = this.#config[key] ?? fallback
    if (typeof value === 'number' && Number.isFinite(value)) return value
    throw this.wrong(key, 'a number')
  }

  /** A whole number, at least one. @param fallback Where the class has none, it must be there. */
  count(key: string, fallback?: number): number {
    const value = this.#config[key] ?? fallback
    if (isCount(value)) return value
    throw this.wrong(key, 'a whole number above zero')
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#config[key] ?? fallback
    if (typeof value === 'boolean') return value
    throw this.wrong(key, 'true or false')
  }

  /** Whole numbers above zero, as many as there are. */
  counts(key: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#config[key] ?? fallback
    if (Array.isArray(value) && value.length > 0 && value.every(isCount)) return value
    throw this.wrong(key, 'a list of whole numbers above zero')
  }

  /** One of `known` for each of `length` blocks. */
  names<Name extends string>(key: string, fallback: readonly Name[], length: number, known: readonly Name[]): Name[] {
    const value = this.#config[key] ?? fallback
    if (!Array.isArray(value) || value.length !== length) throw this.wrong(key, `a list of ${length} names`)
    return value.map((name: unknown) => {
      const found = known.find((one) => one === name)
      if (found === undefined) throw this.unsupported(key, name)
      return found
    })
  }

  /** A value for each of `length` blocks, or one for all. */
  perBlock<T>(key: string, fallback: T, length: number, isRight: (value: unknown) => value is T): T[] {
    const value = this.#config[key] ?? fallback
    if (!Array.isArray(value) && isRight(value)) return Array<T>(length).fill(value)
    if (Array.isArray(value) && value.length === length && value.every(isRight)) return value
    throw this.wrong(key, `one value, or one for each of the ${length} blocks`)
  }

  /** An object within; empty where it is left out. */
  section(key: string): Config {
    const value = this.#config[key] ?? {}
    if (typeof value === 'object' && !Array.isArray(value)) return value as Config
    throw this.wrong(key, 'an object')
  }

  /** As it stands, for what has a form of its own. */
  raw(key: string): unknown {
    return this.#config[key] ?? undefined
  }

  /** @throws EngineError 'model' unless it is one of these; where it is left out or null, the first is meant. */
  require<Value extends string | number | boolean | null>(key: string, ...allowed: readonly Value[]): Value {
    const value = this.#config[key] ?? null
    if (value === null) return allowed[0]!
    const found = allowed.find((one) => one === value)
    if (found === undefined) throw this.unsupported(key, value)
    return found
  }

  unsupported(key: string, value: unknown): EngineError {
    return new EngineError(
      'model',
      `The ${this.part}'s config.json has ${key} ${short(value)}, for which Seedling has no graph; use another model, or export this one to ONNX.`,
    )
  }

  wrong(key: string, wanted: string): EngineError {
    return new EngineError(
      'model',
      `The ${this.part}'s config.json has ${key} ${short(this.#config[key])}, where ${wanted} should be; download it again.`,
    )
  }
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0
}

export function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

/** What stands in a file may be of any length. */
function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
