/** Writes a changed graph beside the model that it was made from, once; the weights stay where they are. */

import { createHash, randomUUID } from 'node:crypto'
import { accessSync, constants, existsSync, realpathSync } from 'node:fs'
import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { EngineError } from '../errors.ts'
import { type OnnxGraph, readOnnx, writeOnnx } from './onnx-file.ts'

/**
 * Gives the path of the graph that `change` made of the model's. It points to the original's weights, wherever they lie,
 * so it is small; its name holds the original's size and time and where those weights are, so that it never outlives
 * them, and begins with a dot, since it is no part of the model. Where it lies there already, `change` is not asked.
 * @param change May write into the graph that it is given; gives nothing where the model can stay as it is.
 * @throws EngineError `model` where the file is broken or its folder cannot be written to; what `change` throws
 */
export async function rewriteBeside(
  modelPath: string,
  name: string,
  change: (graph: OnnxGraph) => OnnxGraph | undefined,
): Promise<string> {
  // The hub's cache keeps files behind links, and ONNX Runtime reads weights only from the real graph's folder.
  const real = await realpath(modelPath)
  const { size, mtimeMs } = await stat(real)
  const original = readOnnx(real)
  const weights = relocate(original, dirname(modelPath), dirname(real))
  const version = `${size.toString(36)}-${Math.round(mtimeMs).toString(36)}${weights && `-${weights}`}`
  const path = join(dirname(real), `.${basename(real, '.onnx')}.${name}.${version}.onnx`)
  if (existsSync(path)) return path
  const graph = change(original)
  if (!graph) return modelPath
  await write(path, writeOnnx(graph, basename(real)))
  return path
}

/** Whether there is a place for rewritten graphs: a container may have its models in folders that are only read. */
export function canRewriteBeside(modelPath: string): boolean {
  try {
    accessSync(dirname(realpathSync(modelPath)), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Makes weights in files of their own be found from the real graph's folder. There, revisions of a model in the hub's
 * cache share one graph while their weights differ.
 * @returns A short hash over where they lie, empty where there are none.
 */
function relocate({ initializers }: OnnxGraph, from: string, to: string): string {
  const places = new Map<string, string>()
  for (const { tensor } of initializers) {
    const location = tensor.externalData?.find(({ key }) => key === 'location')
    if (!location) continue
    const place =
      places.get(location.value) ?? relative(to, realpathSync(join(from, location.value))).replaceAll('\\', '/')
    places.set(location.value, place)
    location.value = place
  }
  if (places.size === 0) return ''
  return createHash('sha256')
    .update(JSON.stringify([...places]))
    .digest('hex')
    .slice(0, 8)
}

/** Whole or not at all, since another pipeline or process may be looking for it, or writing it too. */
async function write(path: string, bytes: Uint8Array): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`
  try {
    await writeFile(unfinished, bytes)
    await rename(unfinished, path)
  } catch (cause) {
    await rm(unfinished, { force: true })
    throw new EngineError(
      'model',
      `Rewritten graphs are kept beside the model, and ${dirname(path)} cannot be written to; make it writable.`,
      { cause },
    )
  }
}
