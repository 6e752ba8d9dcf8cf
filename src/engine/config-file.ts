/** The settings of a part, as diffusers and transformers keep them beside its weights: `config.json` and its like. */

import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { EngineError } from './errors.ts'

/** A JSON object whose keys are looked up and checked where they are used. */
export type Config = Readonly<Record<string, unknown>>

/** CLIP's tokenizer has 4 MB, and nothing else that lies beside weights comes near. */
const LONGEST = 8 * 2 ** 20

/** A file of text beside a model's weights. @throws EngineError 'model' where it is none, or far too long */
export async function readText(path: string): Promise<string> {
  try {
    const entry = await stat(path)
    // A pipe or a device would be read for ever.
    if (!entry.isFile()) throw new EngineError('model', `${path} is no file; download the model again.`)
    if (entry.size > LONGEST)
      throw new EngineError('model', `${path} is far too long for what it should be; download the model again.`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof EngineError) throw error
    const { code } = error as NodeJS.ErrnoException
    throw new EngineError('model', `${path} cannot be read (${code}); check who may read it.`, { cause: error })
  }
}

/** The JSON file at that place, or nothing. @throws EngineError 'model' where it is damaged */
export async function readConfig(path: string): Promise<Config | undefined> {
  if (!existsSync(path)) return undefined
  const text = await readText(path)
  try {
    const value: unknown = JSON.parse(withoutInfinity(text))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Config
  } catch (error) {
    throw damaged(path, error)
  }
  throw damaged(path)
}

/** Python writes infinite numbers by name (diffusers: `"lambda_min_clipped": -Infinity`), which JSON does not know. */
function withoutInfinity(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|\bInfinity\b/g, (token) => (token === 'Infinity' ? '1e999' : token))
}

function damaged(path: string, cause?: unknown): EngineError {
  return new EngineError(
    'model',
    `${path} is no JSON object: it is damaged or half-downloaded; download the model again.`,
    {
      cause,
    },
  )
}
