/** `seedling models` as people call it: the built program, a folder as AUTOMATIC1111 has it, a hub on loopback. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { entryKey } from '../src/engine/cache/cache-entries.ts'
import { startFakeHub } from './engine/fake-hub.ts'
import { CHECKPOINTS, singleFileTensors, writeSafetensors } from './engine/tiny-checkpoint.ts'
import { temporaryFolder, tinyPipeline } from './engine/tiny-pipeline.ts'

const program = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
const lora = fileURLToPath(new URL('fixtures/lora/kohya.safetensors', import.meta.url))
const folder = temporaryFolder()

async function models(args: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  const env = { PATH: process.env.PATH, XDG_CACHE_HOME: join(folder, 'cache'), ...settings }
  const child = spawn(process.execPath, [program, 'models', ...args], { cwd: folder, env })
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { stdout, stderr, code }
}

/** A `models` folder: a checkpoint without a VAE, a whole one, a LoRA, and a page of a website. */
function webui(): string {
  const models = join(temporaryFolder(), 'models')
  const path = (name: string) => {
    mkdirSync(dirname(join(models, name)), { recursive: true })
    return join(models, name)
  }
  const whole = singleFileTensors('sd1')
  writeSafetensors(path('Stable-diffusion/whole (v2).safetensors'), whole)
  const half = new Map([...whole].filter(([name]) => !name.startsWith('first_stage_model.')))
  writeSafetensors(path('Stable-diffusion/half.safetensors'), half)
  writeFileSync(path('Stable-diffusion/page.safetensors'), '<!DOCTYPE html><html>')
  copyFileSync(lora, path('Lora/ink.safetensors'))
  return models
}

describe('seedling models', () => {
  it('lists the embedded model where nothing is set', async () => {
    const { code, stdout, stderr } = await models([])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      /^Models\n {2}emoji {2}Stable Diffusion 1 {2}[\d.]+ M {2}\S+ {2}[\d.]+ MB {2}[0-9a-f]{10}\n$/,
    )
  })

  it('lists a folder by kind, with what each lacks or why it is none', async () => {
    const { code, stdout } = await models([], { SEEDLING_MODELS: webui() })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Models\n(?: {2}.*\n)+\nLoRAs\n {2}ink .*\n$/)
    expect(stdout).toMatch(/^ {2}half .*lacks its VAE$/m)
    expect(stdout).toMatch(/^ {2}page .*is a page of a website/m)
    expect(stdout).toMatch(/^ {2}whole \(v2\) {2}Stable Diffusion 1 .* [0-9a-f]{10}$/m)
  })

  it('is read by programs a line a model', async () => {
    const { stdout } = await models(['--json', '--hash'], { SEEDLING_MODELS: webui() })
    const rows = stdout.trimEnd().split('\n')
    expect(rows.map((row) => JSON.parse(row)).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'checkpoint half',
      'lora ink',
      'checkpoint page',
      'checkpoint whole (v2)',
    ])
    expect(JSON.parse(rows[3]!)).toMatchObject({
      title: 'Stable Diffusion 1',
      parameters: expect.any(Number),
      dtypes: ['fp32'],
      bytes: expect.any(Number),
      missing: [],
      hash: expect.stringMatching(/^[0-9a-f]{10}$/),
    })
  })

  it('says what a file is, and what it lacks', async () => {
    const checkpoints = join(webui(), 'Stable-diffusion')
    const half = await models(['show', join(checkpoints, 'half.safetensors')])
    expect(half.stdout).toMatch(/^what +Stable Diffusion 1\n/)
    expect(half.stdout).toMatch(/^missing +VAE: set SEEDLING_VAE/m)
    expect((await models(['show', join(checkpoints, 'whole (v2).safetensors')])).stdout).toMatch(/^missing +nothing$/m)
    expect((await models(['show', lora])).stdout).toMatch(/^what +a LoRA/)
    for (const other of [join(checkpoints, 'page.safetensors'), join(CHECKPOINTS, 'cases.json'), '/nowhere/at/all']) {
      const { code, stdout, stderr } = await models(['show', other])
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^seedling models: .+\.\n$/)
    }
  })

  it('fetches from the hub, and links it among the operator’s models', async () => {
    const name = 'org/tiny'
    const hub = await startFakeHub(name, tinyPipeline('tiny-sd1'))
    onTestFinished(() => hub.close())
    const own = temporaryFolder()
    mkdirSync(join(own, 'checkpoints'))
    renameSync(tinyPipeline('tiny-sdxl'), join(own, 'checkpoints', 'another'))
    const settings = { HF_ENDPOINT: hub.url, HF_HUB_CACHE: temporaryFolder(), SEEDLING_MODELS: own }
    const pulled = await models(['pull', name], settings)
    expect(pulled).toMatchObject({ code: 0, stdout: 'org/tiny is here; draw with it by --model "org--tiny"\n' })
    expect(lstatSync(join(own, 'checkpoints', 'org--tiny')).isSymbolicLink()).toBe(true)
    expect((await models([], settings)).stdout).toMatch(/^ {2}org--tiny {2}Stable Diffusion 1 /m)
    const asked = hub.requests.length
    expect(await models(['pull', name], settings)).toMatchObject({ code: 0 })
    expect(hub.requests.slice(asked).filter(({ path }) => path.includes('/resolve/'))).toEqual([])
    const missing = await models(['pull', 'org/other'], settings)
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/org\/other/) })
  })

  it('takes away the copies that are kept, and nothing else', async () => {
    const cache = temporaryFolder()
    expect(await models(['prune'], { SEEDLING_CACHE: cache })).toMatchObject({ code: 0, stdout: 'Nothing is kept.\n' })
    const copy = join(cache, entryKey('optimised', 'a model'))
    mkdirSync(copy)
    writeFileSync(join(copy, 'model.onnx'), Buffer.alloc(2e6))
    writeFileSync(join(cache, 'a letter.txt'), 'mine')
    const { stdout } = await models(['prune'], { SEEDLING_CACHE: cache })
    expect(stdout).toBe('1 copy taken away, 2.0 MB.\n')
    expect(readdirSync(cache)).toEqual(['a letter.txt'])
  })

  it('names what it does not know', async () => {
    expect(await models(['lst'])).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean list?') })
    expect(await models(['--jsn'])).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean --json?') })
    expect(await models(['show'])).toMatchObject({ code: 2, stderr: expect.stringContaining('show FILE') })
  })
})
