import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StableDiffusionPipeline } from '../../src/engine/index.ts'
import { type FakeHub, startFakeHub } from './fake-hub.ts'
import { ON_CPU, temporaryFolder, tinyPipeline } from './tiny-pipeline.ts'

const LORAS = fileURLToPath(new URL('../fixtures/lora/', import.meta.url))
const NAME = 'somebody/adapters'

/** Copies fixtures into `folder` under other names. */
function fill(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, from] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    copyFileSync(join(LORAS, from), join(folder, name))
  }
  writeFileSync(join(folder, 'README.md'), '# A model card')
  return folder
}

describe('the file of a LoRA or a textual inversion', () => {
  let pipe: StableDiffusionPipeline
  let hub: FakeHub | undefined
  beforeEach(async () => {
    pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), ON_CPU)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await hub?.close()
    hub = undefined
  })
  const serve = async (files: Readonly<Record<string, string>>) => {
    hub = await startFakeHub(NAME, fill(temporaryFolder(), files))
    vi.stubEnv('HF_ENDPOINT', hub.url)
    vi.stubEnv('HF_HUB_CACHE', temporaryFolder())
    vi.stubEnv('HF_TOKEN', '')
  }
  const fetched = () =>
    hub!.requests
      .flatMap(({ path }) => /\/resolve\/\w+\/(.*)$/.exec(path)?.[1] ?? [])
      .filter((one, i, all) => all.indexOf(one) === i)

  it('is found in a folder, by diffusers’ name, by being alone, or by weightName', async () => {
    const folder = fill(temporaryFolder(), { 'pixel.safetensors': 'kohya.safetensors' })
    await pipe.loadLoraWeights(folder)
    fill(folder, { 'pytorch_lora_weights.safetensors': 'peft.safetensors' })
    await pipe.loadLoraWeights(folder)
    await pipe.loadLoraWeights(folder, { weightName: 'pixel.safetensors', adapterName: 'pixel' })
    expect(pipe.getListAdapters().unet).toEqual(['default_0', 'default_1', 'pixel'])
    const two = fill(temporaryFolder(), { 'a.safetensors': 'kohya.safetensors', 'b.safetensors': 'peft.safetensors' })
    await expect(pipe.loadLoraWeights(two)).rejects.toThrow('give the name of the right one as weightName')
    await expect(pipe.loadLoraWeights(temporaryFolder())).rejects.toThrow('holds no file of weights')
    await expect(pipe.loadLoraWeights(folder, { weightName: 'c.safetensors' })).rejects.toThrow('There is no file')
  })

  it('is fetched from the hub, and nothing else with it', async () => {
    await serve({
      'pytorch_lora_weights.safetensors': 'kohya.safetensors',
      'more/other.safetensors': 'peft.safetensors',
    })
    const progress: unknown[] = []
    await pipe.loadLoraWeights(NAME, { adapterName: 'kohya', onProgress: (one) => progress.push(one) })
    expect(fetched()).toEqual(['pytorch_lora_weights.safetensors'])
    expect(progress.at(-1)).toMatchObject({ status: 'download', file: 'pytorch_lora_weights.safetensors' })
    await pipe.loadLoraWeights(NAME, { adapterName: 'other', weightName: 'more/other.safetensors' })
    await pipe.loadLoraWeights(`${NAME}/more/other.safetensors`, { adapterName: 'again' })
    expect(fetched()).toEqual(['pytorch_lora_weights.safetensors', 'more/other.safetensors'])
    await expect(pipe.loadLoraWeights(NAME, { weightName: 'none.safetensors' })).rejects.toThrow(
      'has no file none.safetensors',
    )
  })

  it('is a repository’s only one, of textual inversions too', async () => {
    await serve({ 'learned_embeds.bin': 'learned_embeds.bin', 'concept_images/0.jpeg': 'cases.json' })
    await pipe.loadTextualInversion(NAME)
    expect(fetched()).toEqual(['learned_embeds.bin'])
    await expect(pipe.loadTextualInversion(NAME)).rejects.toThrow('has a token "<cat-toy>" already')
    await expect(pipe.loadTextualInversion('nowhere')).rejects.toThrow('There is no file nowhere')
    await expect(pipe.loadTextualInversion('no/where')).rejects.toThrow('no model no/where')
  })
})
