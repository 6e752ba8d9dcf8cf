/**
 * A folder of models as other programs lay it out: AUTOMATIC1111's and Forge's `models`, or ComfyUI's. Nothing is opened here;
 * files are told apart by the folder that they lie in.
 */

import { existsSync, realpathSync, statSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, relative, sep } from 'node:path'
import { EngineError } from '../errors.ts'

export type ModelKind = 'checkpoint' | 'lora' | 'embedding' | 'vae' | 'controlnet'

/** A file, or a pipeline's folder, that the models folder holds. */
export interface ModelFile {
  readonly kind: ModelKind
  /** Its name without the ending, with its folders in front where another has the same. */
  readonly name: string
  readonly path: string
  /** In bytes; of a pipeline's folder, nothing. */
  readonly size?: number
  /** When it was changed last, in milliseconds since the epoch. */
  readonly mtimeMs: number
}

/**
 * In lower case, since people and file systems differ. AUTOMATIC1111 `modules/paths.py` and `modules/shared_options.py`;
 * ComfyUI `folder_paths.py`.
 */
const FOLDERS: Readonly<Record<string, ModelKind>> = {
  'stable-diffusion': 'checkpoint',
  checkpoints: 'checkpoint',
  diffusers: 'checkpoint',
  lora: 'lora',
  loras: 'lora',
  lycoris: 'lora',
  embeddings: 'embedding',
  vae: 'vae',
  'vae-approx': 'vae',
  controlnet: 'controlnet',
}

/** Previews, settings and lists lie beside the models; `.vae.safetensors` belongs to the checkpoint of that name. */
const WEIGHTS = new Set(['.safetensors', '.ckpt', '.pt', '.pth', '.bin'])

/** People sort their models into folders; deeper ones hold something else. */
const MAX_DEPTH = 6
const MAX_FILES = 20_000

/**
 * Everything that the folder holds, by kind and name.
 * @param folder Such a `models` folder, or the program's own that has one; AUTOMATIC1111 keeps `embeddings` beside it.
 * @throws EngineError 'model' when there is no such folder, or nothing in it has one of those names
 */
export async function readModelsFolder(folder: string): Promise<ModelFile[]> {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new EngineError('model', `There is no folder ${folder}; correct SEEDLING_MODELS.`)
  const files: NestedFile[] = []
  const places = await kindFolders(folder)
  if (places.length === 0)
    throw new EngineError(
      'model',
      `${folder} is no folder of models: it has none of ${Object.keys(FOLDERS).join(', ')}; give the models folder of` +
        ' AUTOMATIC1111, Forge or ComfyUI, or make one of those in it.',
    )
  for (const { path, kind } of places) files.push(...(await filesIn(path, kind)))
  return withShortNames(files).sort((a, b) => a.name.localeCompare(b.name))
}

/** A VAE that AUTOMATIC1111 uses with a checkpoint of the same name: `name.vae.safetensors`, `name.vae.pt`. */
export function companionVae(checkpoint: string): string | undefined {
  const stem = checkpoint.slice(0, checkpoint.length - extname(checkpoint).length)
  return ['.vae.safetensors', '.vae.pt', '.vae.ckpt'].map((ending) => stem + ending).find((path) => existsSync(path))
}

async function kindFolders(folder: string): Promise<{ path: string; kind: ModelKind }[]> {
  const beside = basename(folder).toLowerCase() === 'models' ? [join(dirname(folder), 'embeddings')] : []
  const within = existsSync(join(folder, 'models')) ? [join(folder, 'models'), folder] : [folder]
  const found = new Map<string, { path: string; kind: ModelKind }>()
  for (const parent of within)
    for (const name of await readdir(parent)) {
      const kind = FOLDERS[name.toLowerCase()]
      const path = join(parent, name)
      if (kind && statSync(path, { throwIfNoEntry: false })?.isDirectory())
        found.set(realpathSync(path), { path, kind })
    }
  for (const path of beside)
    if (existsSync(path) && found.size > 0) found.set(realpathSync(path), { path, kind: 'embedding' })
  return [...found.values()]
}

interface NestedFile extends ModelFile {
  /** Its path below the kind's folder, without the ending, with slashes. */
  readonly longName: string
}

async function filesIn(root: string, kind: ModelKind): Promise<NestedFile[]> {
  const files: NestedFile[] = []
  const seen = new Set<string>()
  const visit = async (folder: string, depth: number): Promise<void> => {
    // Links may go round in circles.
    const real = realpathSync(folder)
    if (seen.has(real) || depth > MAX_DEPTH || files.length >= MAX_FILES) return
    seen.add(real)
    for (const entry of (await readdir(folder)).sort()) {
      if (entry.startsWith('.')) continue
      const path = join(folder, entry)
      const found = await stat(path).catch(() => undefined)
      if (found?.isDirectory() && isPipeline(path)) files.push(fileOf(root, path, kind, found.mtimeMs))
      else if (found?.isDirectory()) await visit(path, depth + 1)
      else if (found?.isFile() && isWeights(entry, kind))
        files.push(fileOf(root, path, kind, found.mtimeMs, found.size))
    }
  }
  await visit(root, 0)
  return files
}

function isPipeline(folder: string): boolean {
  return existsSync(join(folder, 'model_index.json'))
}

function isWeights(name: string, kind: ModelKind): boolean {
  const ending = extname(name).toLowerCase()
  return WEIGHTS.has(ending) && (kind !== 'checkpoint' || !/\.vae\.\w+$/i.test(name))
}

function fileOf(root: string, path: string, kind: ModelKind, mtimeMs: number, size?: number): NestedFile {
  const below = relative(root, path).split(sep).join('/')
  const longName = size === undefined ? below : below.slice(0, below.length - extname(below).length)
  return { kind, name: basename(longName), longName, path, mtimeMs, ...(size !== undefined && { size }) }
}

/** Only where two have the same name do their folders tell them apart. */
function withShortNames(nested: readonly NestedFile[]): ModelFile[] {
  const counts = new Map<string, number>()
  const key = ({ kind, name }: ModelFile) => `${kind}/${name.toLowerCase()}`
  for (const file of nested) counts.set(key(file), (counts.get(key(file)) ?? 0) + 1)
  return nested.map(({ longName, ...file }) => (counts.get(key(file)) === 1 ? file : { ...file, name: longName }))
}
