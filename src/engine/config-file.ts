/** The settings of a part, as diffusers and transformers keep them beside its weights: `config.json` and its like. */

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { EngineError } from './errors.ts'

/** A JSON object whose keys are looked up and checked where they are used. */
export type Config = Readonly<Record<string, unknown>>

/** The JSON file at that place, or nothing. @throws EngineError 'model' where it is damaged */
export async function readConfig(path: string): Promise<Config | undefined> {
  if (!existsSync(path)) return undefined
  try {
    const value: unknown = JSON.parse(withoutInfinity(await readFile(path, 'utf8')))
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
