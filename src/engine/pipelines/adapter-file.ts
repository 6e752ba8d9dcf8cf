/** Where the file of a LoRA or of a textual inversion lies: a path, a folder that holds it, or a repository of the hub. */

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EngineError } from '../errors.ts'
import { downloadModel } from '../hub/download.ts'
import { adapterFileAmong } from '../hub/files.ts'
import { parseHubId } from '../hub/hub-id.ts'
import { type LoadProgress, warnOfNotices } from './open-model.ts'

/** Which file is meant, where several could be. */
export interface AdapterFileOptions {
  /** In a folder or a repository: the file's name, folders by slashes. */
  readonly weightName?: string | undefined
  /** Of a hub repository: branch, tag or commit. Default 'main'. */
  readonly revision?: string | undefined
  /** Told what happens; notices go to Node's warnings where this is absent. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
}

/**
 * @param usual What diffusers calls the file, the best first; without one of these, the only file of weights is taken.
 * @throws EngineError 'model' where there is no such file, or several and none of the usual name.
 */
export async function adapterFile(
  path: string,
  usual: readonly string[],
  options: AdapterFileOptions = {},
): Promise<string> {
  if (!existsSync(path)) return fetchFile(path, usual, options)
  if (!statSync(path).isDirectory()) return path
  return join(path, options.weightName ?? adapterFileAmong(path, readdirSync(path), usual))
}

async function fetchFile(model: string, usual: readonly string[], options: AdapterFileOptions): Promise<string> {
  const id = parseHubId(model)
  if (!id)
    throw new EngineError('model', `There is no file ${model}; check the path, or give a hub repository as org/name.`)
  const { weightName, revision, onProgress: tell = warnOfNotices } = options
  const { path } = await downloadModel(weightName === undefined ? id : { ...id, file: weightName }, {
    revision,
    usualFiles: usual,
    dtype: 'auto',
    onGpu: false,
    onProgress: (file, loaded, total) => tell({ status: 'download', file, loaded, total }),
    onNotice: (message) => tell({ status: 'notice', message }),
  })
  return path
}
