/** A picture made again: from the parameters inside a PNG to the request that draws it, on the very same model. */

import { readFile } from 'node:fs/promises'
import { parseRequest } from '../commands/request.ts'
import { EngineError } from '../engine/errors.ts'
import { type Parameters, parseParameters } from '../engine/images/parameters.ts'
import { readPngText } from '../engine/images/png-text.ts'
import type { Model } from '../engine/process/engine.ts'
import type { Request } from '../job/request.ts'

/** @throws EngineError `argument` when the file is no picture of ours */
export async function readPicture(path: string): Promise<Parameters> {
  const text = readPngText(await read(path), 'parameters')
  if (text === undefined) {
    throw new EngineError('argument', `${path} carries no parameters; choose a picture as Seedling wrote it.`)
  }
  return parseParameters(text)
}

/**
 * The request, checked like any other: a picture's text is somebody's input too.
 * @throws EngineError `argument` when another model or scheduler made the picture, UserError for values out of range
 */
export function requestFrom(made: Parameters, path: string, model: Model, maxSize: number): Request {
  if (made.modelHash !== model.hash) {
    const by =
      made.modelHash === '' ? 'does not say which model made it' : `was made by ${made.model} (${made.modelHash})`
    throw new EngineError(
      'argument',
      `${path} ${by}, and this model is ${model.name} (${model.hash}); name the one that made it with --model.`,
    )
  }
  if (made.scheduler !== model.scheduler) {
    throw new EngineError(
      'argument',
      `${path} was made with ${made.scheduler}, and ${model.name} has ${model.scheduler}; use the scheduler_config.json that made it.`,
    )
  }
  const { prompt, negativePrompt, seed, numInferenceSteps, guidanceScale, width, height, variations, upscale } = made
  const values = {
    prompt,
    negative: negativePrompt,
    seed,
    steps: numInferenceSteps,
    guidance: guidanceScale,
    size: `${width}x${height}`,
    transparent: made.transparent,
    ...(made.clipSkip !== undefined && { 'clip-skip': made.clipSkip }),
  }
  return { ...parseRequest(values, model, maxSize), variations, upscale }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? `There is no file ${path}` : `Cannot read ${path} (${(cause as Error).message})`
    throw new EngineError('argument', `${why}; check the path behind --from.`, { cause })
  }
}
