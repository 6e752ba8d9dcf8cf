/** Other programs' folders of models: what is found in them, under which names, and an engine that draws with several. */

import { copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { describe, expect, it, onTestFinished } from 'vitest'
import { companionVae, readModelsFolder } from '../../src/engine/catalog/models-folder.ts'
import { parseParameters } from '../../src/engine/images/parameters.ts'
import { readPngText } from '../../src/engine/images/png-text.ts'
import type { EngineProgress, ImagesRequest } from '../../src/engine/process/engine.ts'
import type { EngineOptions } from '../../src/engine/process/host.ts'
import { temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const host = fileURLToPath(new URL('../../dist/engine/process/host.js', import.meta.url))
const { startEngine } = (await import(/* @vite-ignore */ host)) as typeof import('../../src/engine/process/host.ts')

/** A folder with empty files at those paths. */
function folderOf(...paths: string[]): string {
  const folder = temporaryFolder()
  for (const path of paths) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), 'x')
  }
  return folder
}

async function names(folder: string): Promise<string[]> {
  return (await readModelsFolder(folder)).map(({ kind, name }) => `${kind} ${name}`).sort()
}

describe('a folder of models', () => {
  it('of AUTOMATIC1111 is told apart by its folders, embeddings beside it', async () => {
    const webui = folderOf(
      'models/Stable-diffusion/v1-5-pruned.safetensors',
      'models/Stable-diffusion/v1-5-pruned.vae.safetensors',
      'models/Stable-diffusion/v1-5-pruned.png',
      'models/Stable-diffusion/Put Stable Diffusion checkpoints here.txt',
      'models/Stable-diffusion/anime/old.ckpt',
      'models/Lora/styles/ink.safetensors',
      'models/VAE/ft-mse.pt',
      'models/ControlNet/control_canny.pth',
      'models/GFPGAN/GFPGANv1.4.pth',
      'embeddings/bad-hands.pt',
    )
    const wanted = [
      'checkpoint old',
      'checkpoint v1-5-pruned',
      'controlnet control_canny',
      'embedding bad-hands',
      'lora ink',
      'vae ft-mse',
    ]
    expect(await names(join(webui, 'models'))).toEqual(wanted)
    expect(await names(webui)).toEqual(wanted)
    expect(companionVae(join(webui, 'models/Stable-diffusion/v1-5-pruned.safetensors'))).toBe(
      join(webui, 'models/Stable-diffusion/v1-5-pruned.vae.safetensors'),
    )
  })

  it('of ComfyUI too, a pipeline’s folder among the checkpoints, links followed once', async () => {
    const folder = folderOf(
      'checkpoints/SDXL/base.safetensors',
      'checkpoints/turbo/base.safetensors',
      'diffusers/my-model/model_index.json',
      'diffusers/my-model/unet/diffusion_pytorch_model.safetensors',
      'loras/a.safetensors',
      'embeddings/b.safetensors',
      'vae/c.safetensors',
      'controlnet/d.safetensors',
    )
    symlinkSync('.', join(folder, 'checkpoints/again'))
    symlinkSync('../nowhere', join(folder, 'loras/gone.safetensors'))
    expect(await names(folder)).toEqual([
      'checkpoint SDXL/base',
      'checkpoint my-model',
      'checkpoint turbo/base',
      'controlnet d',
      'embedding b',
      'lora a',
      'vae c',
    ])
  })

  it('that is none is refused in a sentence', async () => {
    await expect(readModelsFolder(folderOf('readme.txt'))).rejects.toThrow(/is no folder of models: it has none of/)
    await expect(readModelsFolder('/nowhere/at/all')).rejects.toThrow(/correct SEEDLING_MODELS/)
  })
})

describe('an engine with a folder of models', () => {
  const request: ImagesRequest = {
    prompt: 'a cat',
    negativePrompt: '',
    numInferenceSteps: 2,
    guidanceScale: 4,
    width: 64,
    height: 64,
    images: [{ seed: 1, variations: [] }],
    upscale: 1,
    transparent: false,
  }

  function models(): string {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'checkpoints'))
    for (const name of ['tiny-sd1', 'tiny-sdxl']) renameSync(tinyPipeline(name), join(folder, 'checkpoints', name))
    return folder
  }

  async function started(options: EngineOptions) {
    const engine = await startEngine({ device: 'cpu', threads: 1, ...options })
    onTestFinished(() => engine.stop())
    return engine
  }

  async function draw(engine: Awaited<ReturnType<typeof started>>, model?: string) {
    const opening: string[] = []
    const onProgress = (progress: EngineProgress) => void (progress.opening && opening.push(progress.opening))
    const [image] = await engine.generateImages({ ...request, ...(model && { model }) }, { onProgress })
    const { model: drawn, modelHash } = parseParameters(readPngText(image!.png, 'parameters')!)
    return { drawn, modelHash, opening }
  }

  it('draws with each by name, opened once, and says which it was', async () => {
    const engine = await started({ modelsFolder: models() })
    expect(engine.catalog.models.map(({ name, family }) => [name, family])).toEqual([
      ['tiny-sd1', 'stable-diffusion'],
      ['tiny-sdxl', 'stable-diffusion-xl'],
    ])
    expect(engine.model).toMatchObject({ name: 'tiny-sd1', hash: expect.stringMatching(/^[0-9a-f]{10}$/) })
    expect(engine.catalog.models[1]).toMatchObject({ hash: '', width: 64, clipSkip: 2 })
    expect(await draw(engine)).toMatchObject({ drawn: 'tiny-sd1', opening: [] })
    expect(engine.openModels.has('tiny-sdxl')).toBe(false)
    const other = await draw(engine, 'tiny-sdxl')
    expect(other).toMatchObject({ drawn: 'tiny-sdxl', opening: ['tiny-sdxl'] })
    expect(other.modelHash).toBe(engine.catalog.models[1]!.hash)
    expect(await draw(engine, 'tiny-sdxl')).toMatchObject({ opening: [] })
    expect(await draw(engine, 'tiny-sd1')).toMatchObject({ drawn: 'tiny-sd1', opening: [] })
    expect(engine.openModels.has('tiny-sdxl') && engine.openModels.has('tiny-sd1')).toBe(true)
    expect(engine.secondsToOpen('tiny-sdxl')).toBeGreaterThan(0)
  })

  it('closes the one that was not used for longest where memory does not allow both', async () => {
    const folder = models()
    const engine = await started({ modelsFolder: folder, modelMemory: 1, model: 'tiny-sdxl' })
    expect(engine.model.name).toBe('tiny-sdxl')
    expect(await draw(engine, 'tiny-sd1')).toMatchObject({ drawn: 'tiny-sd1', opening: ['tiny-sd1'] })
    expect(engine.openModels.has('tiny-sdxl')).toBe(false)
    expect(await draw(engine)).toMatchObject({ drawn: 'tiny-sdxl', opening: ['tiny-sdxl'] })
    // It is closed though the other cannot be opened.
    writeFileSync(join(folder, 'checkpoints/tiny-sd1/unet/model.onnx'), 'not a graph')
    await expect(draw(engine, 'tiny-sd1')).rejects.toMatchObject({ code: 'model' })
    expect([...engine.openModels]).toEqual([])
  })

  it('draws with the LoRAs and embeddings that a prompt names, without opening the model anew', async () => {
    const folder = models()
    const put = (file: string, path: string) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      copyFileSync(fileURLToPath(new URL(`../fixtures/lora/${file}`, import.meta.url)), join(folder, path))
    }
    put('kohya.safetensors', 'loras/ink.safetensors')
    put('peft.safetensors', 'loras/pixel_art.safetensors')
    put('a1111.pt', 'embeddings/bad-hands.pt')
    const engine = await started({ modelsFolder: folder, model: 'tiny-sd1' })
    expect(engine.catalog.loras.map(({ name }) => name)).toEqual(['ink', 'pixel_art'])
    expect(engine.catalog.embeddings.map(({ name }) => name)).toEqual(['bad-hands'])
    const pixels = async (prompt: string, model?: string) => {
      const opening: string[] = []
      const onProgress = (progress: EngineProgress) => void (progress.opening && opening.push(progress.opening))
      const [image] = await engine.generateImages({ ...request, prompt, ...(model && { model }) }, { onProgress })
      expect(parseParameters(readPngText(image!.png, 'parameters')!).prompt).toBe(prompt)
      if (!model) expect(opening).toEqual([])
      return (await sharp(image!.png).raw().toBuffer()).toString('hex')
    }
    const plain = await pixels('a cat')
    const inked = await pixels('a cat<lora:ink:1>')
    expect(inked).not.toBe(plain)
    expect(await pixels('a cat<lora:ink:-1>')).not.toBe(inked)
    expect(await pixels('a cat<lora:ink:1><lora:pixel_art:0.7>')).not.toBe(inked)
    expect(await pixels('a cat<lora:ink:0>')).toBe(plain)
    expect(await pixels('a cat')).toBe(plain)
    expect(await pixels('a cat bad-hands')).not.toBe(await pixels('a cat bad hand'))
    await expect(pixels('a cat<lora:pixelart>')).rejects.toThrow(/no LoRA "pixelart"; did you mean "pixel_art"\?/)
    const misfit = await pixels('a cat<lora:ink>', 'tiny-sdxl').catch((error) => error)
    expect(misfit).toMatchObject({ code: 'argument', message: expect.stringMatching(/^The LoRA ink /) })
    expect(misfit.message).not.toContain(folder)
    await pixels('a cat bad-hands', 'tiny-sdxl')
  })

  it('tells which file it does not offer, and why', async () => {
    const folder = models()
    writeFileSync(join(folder, 'checkpoints/page.safetensors'), '<!DOCTYPE html><html>')
    const lines: string[] = []
    const engine = await started({ modelsFolder: folder, log: (line) => lines.push(line) })
    expect(engine.catalog.models.map(({ name }) => name)).toEqual(['tiny-sd1', 'tiny-sdxl'])
    expect(lines.filter((line) => line.startsWith('Not offered'))).toHaveLength(1)
    await expect(draw(engine, 'page')).rejects.toThrow(/There is no model page any more; choose another/)
  })
})
