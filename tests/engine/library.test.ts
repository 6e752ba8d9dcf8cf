import { execFile } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { temporaryFolder } from './tiny-pipeline.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const PROGRAM = `
import {
  EulerDiscreteScheduler, Generator, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline,
} from 'seedling/engine'

const pipe = await StableDiffusionPipeline.fromPretrained('org/model', {
  revision: 'onnx', dtype: 'auto', device: 'auto', onProgress: (progress) => { const status: string = progress.status } })
await pipe.to('cuda')
pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config)
const img2img = new StableDiffusionImg2ImgPipeline(pipe.components)
const inpaint = new StableDiffusionInpaintPipeline(pipe.components)
const { images, nsfwContentDetected } = await pipe.generate({
  prompt: ['a cat', 'a dog'], negativePrompt: ['red', ''], height: 512, width: 512, numInferenceSteps: 20, guidanceScale: 7.5,
  numImagesPerPrompt: 1, eta: 0, generator: [new Generator(1), new Generator(2n, { device: 'cuda' })],
  latents: { data: new Float32Array(1), dims: [1] }, image: new Uint8Array(), maskImage: 'mask.png', strength: 0.8,
  callbackOnStepEnd: (_pipe, _step, _timestep, { latents }) => ({ latents }), signal: new AbortController().signal })
const pngs: Buffer[] = images
const flags: readonly boolean[] | undefined = nsfwContentDetected
const { images: np } = await img2img.generate({ prompt: '', image: pngs[0]!, outputType: 'np' })
const { images: latents } = await inpaint.generate({ prompt: '', image: pngs[0]!, maskImage: pngs, outputType: 'latent' })
export const all: [readonly boolean[] | undefined, Float32Array, readonly number[]] = [flags, np.data, latents.dims]
`

it('type-checks in a strict program, its declarations and those that they lean on too', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(ROOT, join(folder, 'node_modules', 'seedling'), 'dir')
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'program.ts'), PROGRAM)
  const options =
    '--strict --exactOptionalPropertyTypes --skipLibCheck false --module nodenext --target es2022 --noEmit'
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const said = await new Promise((resolve) => {
    execFile(process.execPath, [compiler, ...options.split(' '), 'program.ts'], { cwd: folder }, (_, out) =>
      resolve(out),
    )
  })
  expect(said).toBe('')
})
