/** `seedling imagine`: pictures into a folder, one seed after another, without a chat. */

import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readChatText } from '../commands/chat-text.ts'
import type { OptionValues } from '../commands/options.ts'
import { maxSizeOf, parseRequest } from '../commands/request.ts'
import { readOwnConfig } from '../config.ts'
import { EngineError } from '../engine/errors.ts'
import { parseParameters } from '../engine/images/parameters.ts'
import { readPngText } from '../engine/images/png-text.ts'
import type { Engine, EngineImage, EngineProgress, Model } from '../engine/process/engine.ts'
import { startEngine } from '../engine/process/host.ts'
import { engineOptions } from '../engine-options.ts'
import { UserError } from '../job/errors.ts'
import { noiseOf, type Request } from '../job/request.ts'
import { makeFolder } from '../store/folder.ts'
import { unknownSettings } from '../unknown-settings.ts'
import { type Flags, helpText, MAX_COUNT, parseFlags, UsageError } from './flags.ts'
import { readPicture, requestFrom } from './from.ts'
import { barOutput, jsonOutput, lineOutput, type Output } from './progress.ts'

/** Runs the command; gives its exit code. */
export async function imagine(args: string[]): Promise<number> {
  try {
    const flags = parseFlags(args)
    if (flags.help) {
      console.log(helpText())
      return 0
    }
    return await withSignals((signal) => drawAll(flags, signal))
  } catch (error) {
    return explain(error)
  }
}

/** What a signal aborts with. */
class Interrupted extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super('Stopped.')
    this.exitCode = exitCode
  }
}

async function withSignals(work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const stop = new AbortController()
  const abort = (name: NodeJS.Signals) => stop.abort(new Interrupted(name === 'SIGINT' ? 130 : 143))
  // A second signal finds no listener and ends the program on the spot.
  process.once('SIGINT', abort).once('SIGTERM', abort)
  // Whoever read the lines has gone (`| head`): there is no more to do.
  process.stdout.once('error', () => stop.abort(new Interrupted(0)))
  try {
    await work(stop.signal)
    return 0
  } finally {
    process.off('SIGINT', abort).off('SIGTERM', abort)
  }
}

const ANY_MODEL: Model = {
  name: '',
  hash: '',
  family: 'stable-diffusion',
  scheduler: '',
  numInferenceSteps: 1,
  guidanceScale: 1,
  width: 512,
  height: 512,
  sizeMultiple: 8,
  clipSkip: 1,
  maxClipSkip: Number.POSITIVE_INFINITY,
  usesGuidance: true,
}

/** What is wrong with any model is said before one is loaded, which may take a minute; which sizes there are it must say. */
function checkForAnyModel({ size: _, ...values }: OptionValues): void {
  parseRequest(values, ANY_MODEL, maxSizeOf(undefined, ANY_MODEL), MAX_COUNT)
}

async function drawAll(flags: Flags, signal: AbortSignal): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile()
  for (const sentence of unknownSettings(process.env)) console.error(sentence)
  const config = readOwnConfig(process.env)
  const picture = flags.from === undefined ? undefined : await readPicture(flags.from)
  const values = readChatText(flags.values)
  if (!picture) checkForAnyModel(values)
  prepareFolder(flags.out)
  const engine = await startEngine({
    ...engineOptions(config, flags.model),
    ...(flags.device !== undefined && { device: flags.device }),
    ...(flags.dtype !== undefined && { dtype: flags.dtype }),
    log: (line) => console.error(line),
    signal,
  })
  try {
    const maxSize = maxSizeOf(config.SEEDLING_MAX_SIZE, engine.model)
    const request = picture
      ? requestFrom(picture, flags.from!, engine.model, maxSize)
      : parseRequest(values, engine.model, maxSize, MAX_COUNT)
    await drawRequest(engine, request, flags, signal)
  } finally {
    await engine.stop()
  }
}

async function drawRequest(engine: Engine, request: Request, flags: Flags, signal: AbortSignal): Promise<void> {
  const count = request.numImagesPerPrompt
  const output = outputFor(flags, count)
  let done = 0
  try {
    for (; done < count; done++) {
      const image = await drawOne(engine, request, done, output, signal)
      const file = join(flags.out, `image_${done + 1}.png`)
      await save(file, image.png)
      output.written({ file, parameters: parseParameters(readPngText(image.png, 'parameters')!), nsfw: image.nsfw })
    }
  } finally {
    output.close()
    if (!flags.json && (process.stdout.isTTY || done < count)) {
      const say = process.stdout.isTTY ? console.log : console.error
      say(`${done} of ${count} ${count === 1 ? 'picture' : 'pictures'} in ${flags.out}`)
    }
  }
}

function outputFor({ json }: Flags, count: number): Output {
  if (json) return jsonOutput(process.stdout)
  return process.stdout.isTTY ? barOutput(process.stdout, count) : lineOutput(process.stdout)
}

/** An engine that crashed is started again once for the picture; a picture that crashes it twice does so always. */
async function drawOne(engine: Engine, request: Request, index: number, output: Output, signal: AbortSignal) {
  const work = { ...request, images: [noiseOf(request, index)] }
  const options = { signal, onProgress: ({ step, steps }: EngineProgress) => output.progress(step / steps) }
  let images: EngineImage[]
  try {
    images = await engine.generateImages(work, options)
  } catch (error) {
    if (!(error instanceof EngineError && error.code === 'crashed')) throw error
    images = await engine.generateImages(work, options)
  }
  return images[0]!
}

function prepareFolder(folder: string): void {
  try {
    makeFolder(folder)
  } catch (error) {
    throw cannotWrite(folder, error)
  }
}

/** Under another name first, so that a picture is there whole or not at all. */
async function save(file: string, png: Uint8Array): Promise<void> {
  try {
    await writeFile(`${file}.part`, png)
    await rename(`${file}.part`, file)
  } catch (error) {
    throw cannotWrite(file, error)
  }
}

function cannotWrite(path: string, cause: unknown): Error {
  const reason = REASONS[(cause as NodeJS.ErrnoException).code ?? ''] ?? (cause as Error).message
  return new Error(`Cannot write ${path}: ${reason}; choose another folder with --out.`, { cause })
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'you may not write there',
  EEXIST: 'there is a file of that name',
  ENOENT: 'no folder can be made there',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is a file',
  EPERM: 'you may not write there',
  EROFS: 'the disk is read-only',
}

function explain(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode
  const wrongCall = error instanceof UsageError || (error instanceof UserError && error.code === 'option')
  const hint = wrongCall ? '\nSee seedling imagine --help.' : ''
  console.error(`seedling imagine: ${error instanceof Error ? error.message : String(error)}${hint}`)
  return wrongCall ? 2 : 1
}
