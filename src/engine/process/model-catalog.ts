/** What this process can draw with: the model that it was started for, and those of the operator's folder. */

import { existsSync, statSync } from 'node:fs'
import { basename, extname, resolve } from 'node:path'
import { companionVae, type ModelFile, readModelsFolder } from '../catalog/models-folder.ts'
import { EngineError } from '../errors.ts'
import { openSource } from '../pipelines/open-model.ts'
import { describeFile } from '../weights/describe-file.ts'
import type { Catalog, Model, NamedWeights } from './engine.ts'
import { factsOfSource } from './model-facts.ts'
import { knownModelHash } from './model-hash.ts'
import type { LoadOptions } from './protocol.ts'

export interface CatalogEntry {
  readonly path: string
  readonly facts: Model
}

/** How often files may be looked through again, since people look for what they have just put there. */
const REREAD_AFTER_MS = 30_000

export class ModelCatalog {
  readonly #options: LoadOptions
  readonly #onNotice: (message: string) => void
  /** By path, size and time: a file is read once, and what is wrong with it is told once. */
  readonly #described = new Map<string, Promise<Model | undefined>>()
  #models = new Map<string, CatalogEntry>()
  #files: readonly ModelFile[] = []
  #readAt = Number.NEGATIVE_INFINITY

  constructor(options: LoadOptions, onNotice: (message: string) => void) {
    this.#options = options
    this.#onNotice = onNotice
  }

  /** Looks through the folder, unless it was just done. @returns Whether anything changed. @throws EngineError 'model' */
  async read(): Promise<boolean> {
    const { modelsFolder } = this.#options
    if (modelsFolder === undefined || performance.now() - this.#readAt < REREAD_AFTER_MS) return false
    const before = JSON.stringify([this.#files, [...this.#models]])
    this.#files = await readModelsFolder(modelsFolder)
    this.#models = new Map()
    for (const file of this.#files) {
      const facts = file.kind === 'checkpoint' ? await this.#describedOnce(file) : undefined
      if (facts) this.#models.set(file.name, { path: file.path, facts })
    }
    this.#readAt = performance.now()
    return JSON.stringify([this.#files, [...this.#models]]) !== before
  }

  /** Where the model that the engine was started for lies, and what it is called. @throws EngineError 'model' */
  get own(): { readonly name: string; readonly path: string } {
    const { model } = this.#options
    const named = model === undefined ? this.#models.keys().next().value : model
    if (named === undefined)
      throw new EngineError(
        'model',
        `${this.#options.modelsFolder} holds no model that can be opened; set SEEDLING_MODEL.`,
      )
    const entry = this.#models.get(named)
    if (entry) return { name: named, path: entry.path }
    return { name: existsSync(named) ? nameOf(named) : named, path: named }
  }

  /** @param own What is known of the engine's own model, which is open. */
  catalog(own: Model): Catalog {
    const others = [...this.#models.values()].map(({ facts }) => facts).filter(({ name }) => name !== own.name)
    return { models: [own, ...others], loras: this.#named('lora'), embeddings: this.#named('embedding') }
  }

  /** Keeps what opening a model told of it. */
  learned(name: string, facts: Model): void {
    const entry = this.#models.get(name)
    if (entry) this.#models.set(name, { ...entry, facts })
  }

  /** @throws EngineError 'argument' when there is no such model any more */
  pathOf(name: string): string {
    const entry = this.#models.get(name)
    if (entry) return entry.path
    throw new EngineError('argument', `There is no model ${name} any more; choose another.`)
  }

  /** What a model's weights are likely to take in memory, by the size of its files. */
  bytesOf(name: string): number {
    return this.#files.find((file) => file.kind === 'checkpoint' && file.name === name)?.size ?? 0
  }

  /**
   * The VAE to take in place of a model's own, or for one that has none: what lies beside it under its name, as AUTOMATIC1111
   * has it, else the operator's, which is for the engine's own model and for those that lack one.
   */
  vaeFor(path: string): string | undefined {
    const { vae, model } = this.#options
    const beside = companionVae(path)
    if (beside !== undefined || vae === undefined || path === model) return beside ?? vae
    return statSync(path, { throwIfNoEntry: false })?.isFile() && describeFile(path).missing.includes('VAE')
      ? vae
      : undefined
  }

  get hasLoras(): boolean {
    return this.#files.some(({ kind }) => kind === 'lora')
  }

  /** Everything that the folder holds. */
  get files(): readonly ModelFile[] {
    return this.#files
  }

  #named(kind: ModelFile['kind']): NamedWeights[] {
    return this.#files.filter((file) => file.kind === kind).map(({ name }) => ({ name }))
  }

  #describedOnce(file: ModelFile): Promise<Model | undefined> {
    const key = JSON.stringify(file)
    const described = this.#described.get(key) ?? this.#describe(file)
    this.#described.set(key, described)
    return described
  }

  async #describe(file: ModelFile): Promise<Model | undefined> {
    try {
      const source = await openSource(file.path, { vae: this.vaeFor(file.path) })
      const { cacheDir } = this.#options
      const hash = cacheDir === undefined ? undefined : await knownModelHash(await source.weightFiles(), cacheDir)
      return await factsOfSource(source, { name: file.name, hash: hash ?? '' })
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      this.#onNotice(`Not offered: ${error.message}`)
      return undefined
    }
  }
}

function nameOf(path: string): string {
  const last = basename(resolve(path))
  return /\.(safetensors|ckpt|pt|pth|bin)$/i.test(last) ? last.slice(0, last.length - extname(last).length) : last
}
