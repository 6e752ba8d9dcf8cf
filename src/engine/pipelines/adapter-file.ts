/** Where the file of a LoRA or of a textual inversion lies: a path, or a folder that holds it. */

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EngineError } from '../errors.ts'

/** Which file of a folder is meant. */
export interface AdapterFileOptions {
  /** Its name, or its path inside the folder. */
  readonly weightName?: string | undefined
}

/**
 * @param usual What diffusers calls the file, the best first; without one of these, a folder's only file of weights is taken.
 * @throws EngineError 'model' where there is no such file, or several and none of the usual name.
 */
export function adapterFile(path: string, usual: readonly string[], { weightName }: AdapterFileOptions = {}): string {
  const entry = statSync(path, { throwIfNoEntry: false })
  if (!entry) throw new EngineError('model', `There is no file ${path}; check the path.`)
  if (!entry.isDirectory()) return path
  if (weightName !== undefined) return join(path, weightName)
  const files = readdirSync(path).filter((name) => /\.(?:safetensors|bin|pt)$/.test(name))
  const found = usual.find((name) => files.includes(name)) ?? (files.length === 1 ? files[0] : undefined)
  if (found !== undefined) return join(path, found)
  const which = files.length === 0 ? 'none' : files.slice(0, 5).join(', ')
  throw new EngineError('model', `${path} does not tell which of its files is meant (${which}); give weightName.`)
}
