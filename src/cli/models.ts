/** `seedling models`: what there is to draw with, what a file is, models from the hub, and what is kept of them. */

import { existsSync } from 'node:fs'
import { mkdir, realpath, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Config, readOwnConfig } from '../config.ts'
import { EMBEDDED_MODEL } from '../embedded-model.ts'
import { pruneCache } from '../engine/cache/cache-entries.ts'
import { describeModel, type ModelDescription } from '../engine/catalog/describe-model.ts'
import { type ModelFile, type ModelKind, readModelsFolder } from '../engine/catalog/models-folder.ts'
import { EngineError } from '../engine/errors.ts'
import type { Dtype } from '../engine/models/graph-choice.ts'
import { openSource } from '../engine/pipelines/open-model.ts'
import { knownModelHash, LARGE_MODEL, modelHash } from '../engine/process/model-hash.ts'
import { nearest } from '../nearest.ts'
import { UsageError, unknownOption } from './flags.ts'
import { gigabytes, ofFiles } from './progress.ts'

const HELP = `Usage: seedling models                       what there is to draw with
       seedling models show FILE             what a file or folder is, and what it lacks
       seedling models pull ORG/NAME         fetch a model from the Hugging Face hub
       seedling models prune                 take away the optimised copies that are kept of models

  --json                One JSON object a model, for programs
  --hash                Compute the hashes that are not known yet, which reads every file
  --revision REVISION   pull: a branch, tag or commit
  --variant VARIANT     pull: PyTorch's files with that mark, such as fp16

Models come from SEEDLING_MODEL and from SEEDLING_MODELS, a folder as AUTOMATIC1111, Forge or ComfyUI lays it out. What is
pulled lies in the hub's cache, and where SEEDLING_MODELS is set a link to it lies among its models.`

const FLAGS = {
  json: { type: 'boolean', default: false },
  hash: { type: 'boolean', default: false },
  revision: { type: 'string' },
  variant: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

const COMMANDS = ['list', 'show', 'pull', 'prune'] as const

/** Runs the command; gives its exit code. */
export async function models(args: string[]): Promise<number> {
  try {
    const { values, positionals } = parse(args)
    if (values.help) return say(HELP)
    const [command = 'list', ...operands] = positionals
    if (existsSync('.env')) process.loadEnvFile()
    const config = readOwnConfig(process.env)
    switch (command) {
      case 'list':
        requireOperands('list', operands, 0)
        return await list(config, values)
      case 'show':
        return await show(requireOperands('show FILE', operands, 1)[0]!, config, values)
      case 'pull':
        return await pull(requireOperands('pull ORG/NAME', operands, 1)[0]!, config, values)
      case 'prune':
        requireOperands('prune', operands, 0)
        return prune()
      default:
        throw new UsageError(`There is no command “${command}”${meant(command)}; see seedling models --help.`)
    }
  } catch (error) {
    console.error(`seedling models: ${error instanceof Error ? error.message : String(error)}`)
    return error instanceof UsageError ? 2 : 1
  }
}

interface Flags {
  readonly json: boolean
  readonly hash: boolean
  readonly revision?: string
  readonly variant?: string
  readonly help: boolean
}

function parse(args: string[]): { values: Flags; positionals: string[] } {
  try {
    return parseArgs({ args, options: FLAGS, allowPositionals: true })
  } catch (error) {
    const { message } = error as Error
    const unknown = unknownOption(message)
    if (unknown === undefined) throw new UsageError(message)
    const near = nearest(unknown, Object.keys(FLAGS))
    throw new UsageError(
      `--${unknown} is not an option${near ? ` (did you mean --${near}?)` : ''}; see seedling models --help.`,
    )
  }
}

function requireOperands(usage: string, operands: readonly string[], count: number): readonly string[] {
  if (operands.length === count) return operands
  throw new UsageError(`It is called as seedling models ${usage}; see seedling models --help.`)
}

function meant(command: string): string {
  const near = nearest(command, COMMANDS)
  return near === undefined ? '' : ` (did you mean ${near}?)`
}

type Row = { readonly name: string; readonly kind: ModelKind; readonly path: string } & (
  | (ModelDescription & { readonly hash: string | undefined })
  | { readonly error: string }
)

async function list(config: Config, { json, hash }: Flags): Promise<number> {
  const files = config.SEEDLING_MODELS === undefined ? [] : await readModelsFolder(config.SEEDLING_MODELS)
  const rows: Row[] = []
  for (const file of [...(await ownModel(config, files)), ...files]) rows.push(await rowOf(file, config, hash))
  if (json) for (const row of rows) say(JSON.stringify(row))
  else say(tableOf(rows))
  return 0
}

/** The model of SEEDLING_MODEL where it lies on this machine; without a folder of models, the embedded one. */
async function ownModel(config: Config, files: readonly ModelFile[]) {
  const model = config.SEEDLING_MODEL ?? (config.SEEDLING_MODELS === undefined ? EMBEDDED_MODEL : undefined)
  if (model === undefined || !existsSync(model) || files.some(({ path }) => resolve(path) === resolve(model))) return []
  return [{ kind: 'checkpoint' as const, name: basename(resolve(model)), path: model }]
}

type Listed = Pick<ModelFile, 'kind' | 'name' | 'path'>

async function rowOf({ kind, name, path }: Listed, config: Config, computesHash: boolean): Promise<Row> {
  try {
    const description = await describeModel(path)
    return { kind, name, path, ...description, hash: await hashOf(description, config, computesHash) }
  } catch (error) {
    if (error instanceof EngineError) return { kind, name, path, error: error.message }
    throw error
  }
}

async function hashOf(
  { files, bytes }: ModelDescription,
  config: Config,
  computes: boolean,
): Promise<string | undefined> {
  const cacheDir = join(config.SEEDLING_DATA, 'cache')
  if (computes || bytes < LARGE_MODEL) return modelHash(files, { cacheDir })
  return knownModelHash(files, cacheDir)
}

const TITLES: Readonly<Record<ModelKind, string>> = {
  checkpoint: 'Models',
  lora: 'LoRAs',
  embedding: 'Embeddings',
  vae: 'VAEs',
  controlnet: 'ControlNets',
}

function tableOf(rows: readonly Row[]): string {
  return Object.entries(TITLES)
    .map(([kind, title]) => [title, rows.filter((row) => row.kind === kind)] as const)
    .filter(([, own]) => own.length > 0)
    .map(([title, own]) => [title, ...columns(own.map(cellsOf)).map((line) => `  ${line}`)].join('\n'))
    .join('\n\n')
}

function cellsOf(row: Row): string[] {
  if ('error' in row) return [row.name, row.error]
  const lacks = row.missing.length > 0 ? `lacks its ${row.missing.join(' and ')}` : ''
  return [
    row.name,
    row.title,
    count(row.parameters),
    row.dtypes.join('+'),
    gigabytes(row.bytes),
    row.hash ?? '–',
    lacks,
  ]
}

function columns(rows: readonly (readonly string[])[]): string[] {
  // A sentence in place of the columns is no reason to make one wide.
  const full = rows.filter(({ length }) => length > 2)
  const widths = (full[0] ?? []).map((_, at) => Math.max(...(at === 0 ? rows : full).map((row) => row[at]!.length)))
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** 859.5 M */
function count(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(2)} G`
  return parameters >= 1e6 ? `${(parameters / 1e6).toFixed(1)} M` : `${(parameters / 1e3).toFixed(1)} K`
}

async function show(path: string, config: Config, { json, hash }: Flags): Promise<number> {
  const description = await describeModel(path)
  const known = await hashOf(description, config, hash)
  if (json) return say(JSON.stringify({ path, ...description, hash: known }))
  const { title, parameters, dtypes, bytes, missing } = description
  const lines = [
    ['what', title],
    ['parameters', count(parameters)],
    ['dtype', dtypes.join(', ')],
    ['size', gigabytes(bytes)],
    ['hash', known ?? 'not known yet: add --hash'],
    ['missing', missing.length === 0 ? 'nothing' : `${missing.join(' and ')}${cureOf(missing)}`],
  ] as const
  return say(lines.map(([name, value]) => `${name.padEnd(12)}${value}`).join('\n'))
}

function cureOf(missing: readonly string[]): string {
  return missing.includes('VAE') ? ': set SEEDLING_VAE, or lay a file NAME.vae.safetensors beside it' : ''
}

async function pull(id: string, config: Config, { revision, variant }: Flags): Promise<number> {
  const progress = ofFiles(process.stderr)
  const source = await openSource(id, {
    revision,
    variant,
    dtype: config.SEEDLING_DTYPE as Dtype,
    device: config.SEEDLING_DEVICE,
    onProgress: (told) => {
      if (told.status === 'download') progress.loaded(told.file, told.loaded, told.total)
      if (told.status === 'notice') progress.say(told.message)
    },
  }).finally(() => progress.close())
  const folder = config.SEEDLING_MODELS
  if (folder === undefined || existsSync(id)) return say(`${id} is here; draw with it by SEEDLING_MODEL=${id}`)
  const name = await linked(source.path, id, folder)
  return say(`${id} is here; draw with it by --model "${name}"`)
}

/** Among the operator's models, by the hub's own file: nothing is copied. @returns Its name there. */
async function linked(path: string, id: string, modelsFolder: string): Promise<string> {
  const isFile = /\.\w+$/u.test(basename(path)) && basename(path) === basename(id)
  const name = isFile ? basename(id) : id.replaceAll('/', '--')
  const folders = isFile ? ['Stable-diffusion', 'checkpoints'] : ['diffusers', 'Stable-diffusion', 'checkpoints']
  const parent =
    folders.map((one) => join(modelsFolder, one)).find((one) => existsSync(one)) ?? join(modelsFolder, 'checkpoints')
  const link = join(parent, name)
  await mkdir(dirname(link), { recursive: true })
  if (!existsSync(link)) await symlink(await realpath(path), link)
  return isFile ? name.replace(/\.\w+$/u, '') : name
}

function prune(): number {
  const { entries, bytes } = pruneCache()
  return say(
    entries === 0
      ? 'Nothing is kept.'
      : `${entries} ${entries === 1 ? 'copy' : 'copies'} taken away, ${gigabytes(bytes)}.`,
  )
}

function say(text: string): number {
  console.log(text)
  return 0
}
