/**
 * Which of the files in a part's folder hold its weights. Names alone decide, so that a folder and a listing of the hub are
 * read by one rule: diffusers' (`variant_compatible_siblings` in pipelines/pipeline_loading_utils.py), a part at a time.
 */

import { EngineError } from '../errors.ts'

export interface PartFilesOptions {
  /** As diffusers' argument: the mark in the file's name, `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string | undefined
  /** Take half precision where it is there, as it costs half as much to fetch and to keep. Default: the file without a mark. */
  readonly prefersHalf?: boolean | undefined
}

export interface PartFiles {
  /** What is to be opened: the file itself, or the index of several. */
  readonly name: string
  /** All that belongs to it: the file, or the index and its shards. */
  readonly files: readonly string[]
  /** Nothing where the names have no mark. */
  readonly variant: string | undefined
}

/** safetensors before PyTorch's own, the wanted variant before either. */
const STEMS = ['diffusion_pytorch_model', 'model', 'pytorch_model']
const FORMATS = ['safetensors', 'bin']

/** Marks that say how many bits a number has, and nothing else: the weights are the same. */
const PRECISIONS = ['fp16', 'bf16', 'fp32']

/** @returns Nothing where no file is one of a part's weights. A named variant that is not there gives what has no mark. */
export function choosePartFiles(names: readonly string[], options: PartFilesOptions = {}): PartFiles | undefined {
  const sets = weightSets(names)
  for (const variant of preferredVariants(options))
    for (const format of FORMATS)
      for (const stem of STEMS) {
        const found = sets.get(keyOf({ stem, variant, format }))
        if (found?.name !== undefined) return { name: found.name, files: [found.name, ...found.shards], variant }
      }
  return undefined
}

/** The marks in the names of parts' files. */
export function variantsIn(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.flatMap((name) => parseName(name)?.variant ?? []))
}

/**
 * A named variant may be missing in some parts, and not in all.
 *
 * @param model For the message.
 * @param names Of the files of all parts.
 * @throws EngineError 'model' that names the variants that there are.
 */
export function requireVariant(model: string, names: readonly string[], variant: string | undefined): void {
  const variants = variantsIn(names)
  if (variant === undefined || variants.has(variant)) return
  const what = variants.size > 0 ? `it has ${[...variants].sort().join(', ')}` : 'its files have no variants'
  throw new EngineError('model', `${model} has no variant ${variant}: ${what}; give another \`variant\`, or none.`)
}

function preferredVariants({ variant, prefersHalf = false }: PartFilesOptions): (string | undefined)[] {
  if (variant !== undefined) return [variant, undefined, ...PRECISIONS]
  return prefersHalf ? ['fp16', undefined, ...PRECISIONS] : [undefined, ...PRECISIONS]
}

interface WeightName {
  readonly stem: string
  readonly variant: string | undefined
  readonly format: string
  readonly role: 'file' | 'index' | 'shard'
}

interface WeightSet {
  name?: string
  readonly shards: string[]
}

/** One file is preferred to shards of the same. */
function weightSets(names: readonly string[]): Map<string, WeightSet> {
  const sets = new Map<string, WeightSet>()
  const indexes: { set: WeightSet; name: string }[] = []
  for (const name of names) {
    const parsed = parseName(name)
    if (!parsed) continue
    const key = keyOf(parsed)
    const set = sets.get(key) ?? { shards: [] }
    sets.set(key, set)
    if (parsed.role === 'file') set.name = name
    else if (parsed.role === 'index') indexes.push({ set, name })
    else set.shards.push(name)
  }
  for (const set of sets.values()) if (set.name !== undefined) set.shards.length = 0
  for (const { set, name } of indexes) set.name ??= name
  return sets
}

function keyOf({ stem, variant = '', format }: Pick<WeightName, 'stem' | 'variant' | 'format'>): string {
  return `${stem}.${variant}.${format}`
}

const STEM = `(?<stem>${STEMS.join('|')})`
const VARIANT = '(?<variant>[A-Za-z0-9_]+)'
const OLD_VARIANT = VARIANT.replace('variant', 'oldVariant')
const FORMAT = `(?<format>${FORMATS.join('|')})`

/** The variant's place in the names of shards and indexes has changed; files of both times are about. */
const NAMES: readonly { readonly role: WeightName['role']; readonly pattern: RegExp }[] = [
  { role: 'file', pattern: new RegExp(`^${STEM}(?:\\.${VARIANT})?\\.${FORMAT}$`) },
  {
    role: 'shard',
    pattern: new RegExp(`^${STEM}(?:\\.${VARIANT})?-\\d{5}-of-\\d{5}(?:\\.${OLD_VARIANT})?\\.${FORMAT}$`),
  },
  {
    role: 'index',
    pattern: new RegExp(`^${STEM}\\.${FORMAT}(?:\\.${OLD_VARIANT})?\\.index(?:\\.${VARIANT})?\\.json$`),
  },
]

function parseName(name: string): WeightName | undefined {
  for (const { role, pattern } of NAMES) {
    const { stem, variant, oldVariant, format } = pattern.exec(name)?.groups ?? {}
    if (stem !== undefined && format !== undefined) return { stem, variant: variant ?? oldVariant, format, role }
  }
  return undefined
}
