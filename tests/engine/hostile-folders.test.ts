/** Folders of models that mean harm: every file beside the weights, and links. */

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { EngineError, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { tinyFolder } from './tiny-checkpoint.ts'
import { ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const FILES = [
  'model_index.json',
  'unet/config.json',
  'vae/config.json',
  'text_encoder/config.json',
  'scheduler/scheduler_config.json',
  'tokenizer/tokenizer_config.json',
]

async function errorOf(folder: string): Promise<EngineError> {
  const error = await StableDiffusionPipeline.fromPretrained(folder, ON_CPU).then(
    (pipe) => pipe.release(),
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(EngineError)
  expect(error).toMatchObject({ code: 'model', message: expect.stringMatching(/^[^\n]+\.$/) })
  return error as EngineError
}

function put(folder: string, file: string, text: string): void {
  rmSync(join(folder, file), { force: true })
  mkdirSync(join(folder, file, '..'), { recursive: true })
  writeFileSync(join(folder, file), text)
}

describe.each(FILES)('%s', (file) => {
  it('as a bomb of brackets is refused before it is parsed', async () => {
    const folder = tinyFolder('sd1')
    put(folder, file, '['.repeat(16e6))
    expect((await errorOf(folder)).message).toMatch(/far too long/)
  })

  it('as a page, a list or half of it is refused', async () => {
    for (const text of ['<html>404</html>', '[]', '{"a":']) {
      const folder = tinyFolder('sd1')
      put(folder, file, text)
      await errorOf(folder)
    }
  })

  it.skipIf(process.platform === 'win32')('as a pipe or a device keeps nobody waiting', async () => {
    const folder = tinyFolder('sd1')
    put(folder, file, '')
    rmSync(join(folder, file))
    execFileSync('mkfifo', [join(folder, file)])
    expect((await errorOf(folder)).message).toMatch(/is no file/)
  })
})

it.each(['unet', 'vae', 'text_encoder'])('a file in place of the folder %s is refused', async (part) => {
  for (const folder of [tinyFolder('sd1'), tinyPipeline('tiny-sd1')]) {
    for (const name of [part, `${part}_decoder`]) {
      rmSync(join(folder, name), { recursive: true, force: true })
      writeFileSync(join(folder, name), 'x')
    }
    await errorOf(folder)
  }
})

describe('a link', () => {
  const outside = tinyFolder('sd1')

  it.each(['unet', 'vae', 'scheduler', ...FILES.slice(0, -1)])(
    'that leads out of the folder is refused: %s',
    async (name) => {
      for (const folder of [tinyFolder('sd1'), tinyPipeline('tiny-sd1')]) {
        rmSync(join(folder, name), { recursive: true, force: true })
        mkdirSync(join(folder, name, '..'), { recursive: true })
        symlinkSync(join(outside, name), join(folder, name))
        expect((await errorOf(folder)).message).toMatch(/is a link out of the model's folder/)
      }
    },
  )

  it('to the folder itself, or from the hub’s snapshots to its blobs, is followed', async () => {
    const cache = join(temporaryFolder(), 'models--org--name')
    const snapshot = join(cache, 'snapshots', 'c0ffee')
    mkdirSync(join(cache, 'blobs'), { recursive: true })
    cpSync(tinyFolder('sd1'), snapshot, { recursive: true })
    renameSync(join(snapshot, 'unet/config.json'), join(cache, 'blobs/1'))
    symlinkSync('../../../blobs/1', join(snapshot, 'unet/config.json'))
    const link = join(temporaryFolder(), basename(snapshot))
    symlinkSync(snapshot, link)
    const pipe = await StableDiffusionPipeline.fromPretrained(link, ON_CPU)
    await pipe.release()
  })
})
