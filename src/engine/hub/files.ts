/** Which files of a hub repository a model needs: configs, tokenizers, and one file of each part, or one checkpoint. */

import { EngineError } from '../errors.ts'
import { chooseGraph, type Dtype } from '../models/graph-choice.ts'
import { choosePartFiles, requireVariant, variantsIn } from '../weights/part-files.ts'

export interface Wanted {
  /** One file of the repository, and nothing else. */
  readonly file?: string | undefined
  /** One file of weights, called like one of these, or alone. */
  readonly usualFiles?: readonly string[] | undefined
  readonly dtype: Dtype
  /** Whether 'auto' prefers half precision. */
  readonly onGpu: boolean
  /** As diffusers' argument; only PyTorch's files have variants. */
  readonly variant?: string | undefined
  /** A variant that a revision's name stands for: taken where it is there. */
  readonly impliedVariant?: string | undefined
}

export interface NeededFiles<File> {
  readonly files: readonly File[]
  /** What is opened then: a file's path in the repository, or '' for the folder. */
  readonly entry: string
  /** Which of PyTorch's files in the folder were chosen: others of them may be in the cache already. */
  readonly variant?: string | undefined
}

const GRAPH_PARTS = ['unet', 'vae_decoder', 'vae_encoder', 'text_encoder', 'text_encoder_2', 'safety_checker']
const TORCH_PARTS = ['unet', 'vae', 'text_encoder', 'text_encoder_2', 'safety_checker']

const CONFIGS = new Set([
  'model_index.json',
  'generation_config.json',
  'scheduler/scheduler_config.json',
  'feature_extractor/preprocessor_config.json',
  ...[...GRAPH_PARTS, 'vae'].map((part) => `${part}/config.json`),
])

const TOKENIZER =
  /^tokenizer(?:_2)?\/(?:tokenizer|tokenizer_config|special_tokens_map|vocab)\.json$|^tokenizer(?:_2)?\/merges\.txt$/

/** What other frameworks, people and git leave in a part's folder; anything else may be a graph's weights. */
const NOT_WEIGHTS = /\.(?:json|safetensors|bin|pt|pth|ckpt|msgpack|h5|onnx|ort|txt|md|py|xml|tflite|gguf)$|^\./

const CHECKPOINT = /\.(?:safetensors|ckpt)$/
const MOST_NAMED = 5

/**
 * A folder is preferred to checkpoints beside it, graphs to PyTorch's files, safetensors to pickles.
 *
 * @param name Of the repository, for messages.
 * @throws EngineError 'model' when nothing in it can be opened, or the wanted file or variant is not there.
 */
export function neededFiles<File extends { readonly path: string }>(
  name: string,
  files: readonly File[],
  wanted: Wanted,
): NeededFiles<File> {
  if (wanted.file !== undefined) return oneFile(name, files, wanted.file)
  if (wanted.usualFiles) {
    const paths = files.map(({ path }) => path)
    return oneFile(name, files, adapterFileAmong(name, paths, wanted.usualFiles))
  }
  const listing = new Listing(files)
  const isPipeline = listing.has('model_index.json')
  const isTorch = listing.torchFiles('unet', {}) !== undefined
  const names = ['', ...TORCH_PARTS].flatMap((part) => listing.namesIn(part))
  requireVariant(name, names, wanted.variant)
  if (isPipeline && listing.graphs('unet').length > 0 && !(isTorch && wanted.variant !== undefined)) {
    const graphs = GRAPH_PARTS.flatMap((part) => graphFiles(listing, part, wanted))
    return { files: listing.paths([...listing.configs(), ...graphs]), entry: '' }
  }
  const variant = chosenVariant(names, wanted)
  const torch = { ...wanted, variant }
  if (isPipeline && isTorch) {
    const weights = TORCH_PARTS.flatMap((part) => torchFiles(listing, part, torch))
    return { files: listing.paths([...listing.configs(), ...weights]), entry: '', variant }
  }
  // A ControlNet or a VAE has a repository of its own.
  if (listing.has('config.json') && listing.torchFiles('', {}) !== undefined)
    return { files: listing.paths(['config.json', ...torchFiles(listing, '', torch)]), entry: '', variant }
  if (isPipeline && listing.namesIn('transformer').length > 0)
    throw new EngineError(
      'model',
      `${name} is a pipeline with a transformer and no UNet, which is of another family than Stable Diffusion; give one of Stable Diffusion or SDXL.`,
    )
  return onlyCheckpoint(name, files)
}

function chosenVariant(names: readonly string[], { variant, impliedVariant }: Wanted): string | undefined {
  if (variant !== undefined || impliedVariant === undefined) return variant
  return variantsIn(names).has(impliedVariant) ? impliedVariant : undefined
}

/**
 * The file of a LoRA or of a textual inversion.
 * @param name Of what holds the files, for messages. @param usual What it may be called, the best first.
 * @throws EngineError 'model' where there is none, or several and none of these names.
 */
export function adapterFileAmong(name: string, paths: readonly string[], usual: readonly string[]): string {
  const weights = paths.filter((path) => /\.(?:safetensors|bin|pt)$/.test(path))
  const safetensors = weights.filter((path) => path.endsWith('.safetensors'))
  const alone = [safetensors, weights].find(({ length }) => length === 1)?.[0]
  const found = usual.find((one) => paths.includes(one)) ?? alone
  if (found !== undefined) return found
  const what =
    weights.length === 0 ? 'holds no file of weights' : `holds ${weights.length} files of weights: ${some(weights)}`
  throw new EngineError('model', `${name} ${what}; give the name of the right one as weightName.`)
}

function oneFile<File extends { readonly path: string }>(
  name: string,
  files: readonly File[],
  wanted: string,
): NeededFiles<File> {
  const found = files.find(({ path }) => path === wanted)
  if (found) return { files: [found], entry: wanted }
  const others = checkpointsOf(files)
  const what = others.length > 0 ? `it has ${some(others)}` : 'it has no checkpoint at all'
  throw new EngineError('model', `${name} has no file ${wanted} at that revision: ${what}; check the name.`)
}

/** A repository of one checkpoint is that checkpoint, in whichever formats it is there. */
function onlyCheckpoint<File extends { readonly path: string }>(
  name: string,
  files: readonly File[],
): NeededFiles<File> {
  const found = checkpointsOf(files)
  const [one] = found
  if (one !== undefined && found.length === 1) return oneFile(name, files, one)
  if (one === undefined)
    throw new EngineError(
      'model',
      `${name} holds no model that can be opened: neither a pipeline of Stable Diffusion (model_index.json with a unet/) nor a checkpoint (.safetensors, .ckpt); give another repository, or a revision that has one.`,
    )
  throw new EngineError(
    'model',
    `${name} holds ${found.length} files and no pipeline's folder: ${some(found)}; give one of them, as ${name}/${one}.`,
  )
}

/** Each checkpoint once, in safetensors where it is there in that. */
function checkpointsOf(files: readonly { readonly path: string }[]): string[] {
  const byStem = new Map<string, string>()
  for (const { path } of files) {
    if (!CHECKPOINT.test(path)) continue
    const stem = path.replace(CHECKPOINT, '')
    if (!byStem.has(stem) || path.endsWith('.safetensors')) byStem.set(stem, path)
  }
  return [...byStem.values()]
}

function torchFiles<File extends { readonly path: string }>(
  listing: Listing<File>,
  part: string,
  { dtype, onGpu, variant }: Wanted,
): string[] {
  // SDXL's VAE overflows in half precision, so it is computed in float32 and fetched so where nothing else is said.
  const isHalf = dtype === 'fp16' || (dtype === 'auto' && onGpu)
  const prefersHalf = isHalf && !(part === 'vae' && listing.isXl)
  return listing.torchFiles(part, { variant, prefersHalf }) ?? []
}

function graphFiles<File extends { readonly path: string }>(
  listing: Listing<File>,
  part: string,
  { dtype: wanted, onGpu }: Wanted,
): string[] {
  const dtype = listing.isXl && part.startsWith('vae_') ? 'fp32' : wanted
  const graphs = listing.graphs(part)
  // Where the wanted precision is missing, the other is fetched, so that opening it can say what there is.
  const chosen = (chooseGraph(graphs, dtype, onGpu) ?? chooseGraph(graphs, 'auto', onGpu))?.name
  if (chosen === undefined) return []
  return listing
    .namesIn(part)
    .filter((name) => {
      if (name === chosen) return true
      const another = graphs.some((graph) => graph !== chosen && name.startsWith(graph) && !chosen.startsWith(graph))
      return !NOT_WEIGHTS.test(name) && !another
    })
    .map((name) => `${part}/${name}`)
}

/** A repository's files by folder. */
class Listing<File extends { readonly path: string }> {
  readonly files: readonly File[]
  readonly isXl: boolean
  readonly #byPath: ReadonlyMap<string, File>

  constructor(files: readonly File[]) {
    this.files = files
    this.isXl = files.some(({ path }) => path.startsWith('text_encoder_2/'))
    this.#byPath = new Map(files.map((file) => [file.path, file]))
  }

  has(path: string): boolean {
    return this.#byPath.has(path)
  }

  configs(): string[] {
    return this.files.map(({ path }) => path).filter((path) => CONFIGS.has(path) || TOKENIZER.test(path))
  }

  paths(paths: readonly string[]): File[] {
    return paths.flatMap((path) => this.#byPath.get(path) ?? [])
  }

  /** Names of the files right in `folder`, '' for the top. */
  namesIn(folder: string): string[] {
    const prefix = folder === '' ? '' : `${folder}/`
    return this.files
      .filter(({ path }) => path.startsWith(prefix) && !path.slice(prefix.length).includes('/'))
      .map(({ path }) => path.slice(prefix.length))
  }

  graphs(part: string): string[] {
    return this.namesIn(part).filter((name) => name.endsWith('.onnx'))
  }

  torchFiles(part: string, options: Parameters<typeof choosePartFiles>[1]): string[] | undefined {
    const found = choosePartFiles(this.namesIn(part), options)
    return found?.files.map((name) => (part === '' ? name : `${part}/${name}`))
  }
}

function some(names: readonly string[]): string {
  const rest = names.length - MOST_NAMED
  return names.slice(0, MOST_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
