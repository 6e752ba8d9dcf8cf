/** Opens a model in PyTorch's weights, whichever form it has. */

import { existsSync, statSync } from 'node:fs'
import { EngineError } from '../errors.ts'
import { requireOwnFiles } from '../links.ts'
import type { Checkpoint, CheckpointOptions } from './checkpoint.ts'
import { openFolder } from './folder-checkpoint.ts'
import { openSingleFile } from './single-file-checkpoint.ts'

/**
 * Opens a folder with a `model_index.json`, or one file; nothing but names, shapes and configs is read.
 * @throws EngineError 'model' when it is no model, is damaged, or a part is missing: one sentence that says what to do.
 */
export async function openCheckpoint(path: string, options: CheckpointOptions = {}): Promise<Checkpoint> {
  if (!existsSync(path)) throw new EngineError('model', `There is no file or folder ${path}; check the path.`)
  if (!statSync(path).isDirectory()) return openSingleFile(path, options)
  requireOwnFiles(path)
  return openFolder(path, options)
}
