/** One request's images: stepped in turn, each as a batch of its own, so that none depends on its neighbours. */

import type { Noise } from '../../job/request.ts'
import { VERSION } from '../../version.ts'
import type { ModelFile } from '../catalog/models-folder.ts'
import { toBitmaps } from '../images/image-processor.ts'
import { removeGround } from '../images/matting.ts'
import { formatParameters, type Parameters } from '../images/parameters.ts'
import { encodePng } from '../images/png.ts'
import { encodePreview } from '../images/preview.ts'
import type { Sampling } from '../pipelines/sampling.ts'
import type { EngineImage, EngineProgress, ImagesRequest, Model } from './engine.ts'
import type { LoadedModel } from './loaded-model.ts'
import { startOf } from './noise.ts'
import type { PromptWithAdapters } from './prompt-networks.ts'

export interface MakeImagesOptions {
  /** LoRAs and embeddings that a prompt may name. */
  readonly files: readonly ModelFile[]
  /** Checked before each step and each decode. */
  readonly signal: AbortSignal
  /** Whether previews are wanted. */
  readonly preview: boolean
  readonly onProgress: (progress: EngineProgress) => void
}

/** @throws the signal's `reason`; EngineError as `StableDiffusionPipeline.generate` does */
export async function makeImages(
  model: LoadedModel,
  request: ImagesRequest,
  { files, signal, preview, onProgress }: MakeImagesOptions,
): Promise<EngineImage[]> {
  const prompted = await model.networks.load(request.prompt, request.negativePrompt, files)
  const samplings: Sampling<'np'>[] = []
  for (const noise of request.images) samplings.push(await begin(model, { ...request, ...prompted }, noise, signal))
  const steps = samplings.reduce((sum, sampling) => sum + sampling.steps, 0)
  const show = preview ? previewer(model, samplings) : async () => undefined
  for (let step = 0; step < steps; ) {
    for (const sampling of samplings) {
      if (sampling.done) continue
      await sampling.next()
      const shown = await show()
      onProgress({ step: ++step, steps, ...(shown && { preview: shown }) })
    }
  }
  const images: EngineImage[] = []
  for (const [index, sampling] of samplings.entries()) {
    images.push(await finish(sampling, parametersOf(request, request.images[index]!, model.facts), model.facts))
  }
  return images
}

function begin(
  { pipeline, facts }: LoadedModel,
  request: ImagesRequest & PromptWithAdapters,
  noise: Noise,
  signal: AbortSignal,
) {
  const { prompt, negativePrompt, numInferenceSteps, guidanceScale, clipSkip = facts.clipSkip, width, height } = request
  const { latentChannels, vaeScaleFactor } = pipeline.modelInfo
  const dims = [1, latentChannels, Math.floor(height / vaeScaleFactor), Math.floor(width / vaeScaleFactor)]
  return pipeline.begin({
    prompt,
    // None is not the same as an empty one: some models are trained on zeros in its place.
    negativePrompt: negativePrompt === '' ? undefined : negativePrompt,
    promptWeighting: true,
    adapters: request.adapters,
    // AUTOMATIC1111 counts from the last layer, diffusers from the model's own.
    clipSkip: clipSkip - facts.clipSkip,
    numInferenceSteps,
    guidanceScale,
    width,
    height,
    ...startOf(noise, dims),
    ...(pipeline.components.unet.inChannels !== latentChannels && emptyCanvas(width, height)),
    outputType: 'np',
    signal,
  })
}

/** What a UNet that paints into images is given where there is none: a grey one, to be painted all over. */
function emptyCanvas(width: number, height: number) {
  return {
    image: { data: new Uint8Array(3 * width * height).fill(127), width, height, channels: 3 },
    maskImage: { data: new Uint8Array(width * height).fill(255), width, height, channels: 1 },
    strength: 1,
  }
}

async function finish(sampling: Sampling<'np'>, parameters: Parameters, { name, hash }: Model): Promise<EngineImage> {
  const { upscale, transparent } = parameters
  const { images, nsfwContentDetected } = await sampling.finish()
  const { data, width, height } = toBitmaps(images)[0]!
  const nsfw = nsfwContentDetected?.[0] ?? false
  const pixels = {
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
    width,
    height,
    channels: 3 as const,
  }
  const shown = transparent && !nsfw ? removeGround(pixels) : pixels
  const png = await encodePng(shown, { upscale, blur: nsfw, parameters: formatParameters(parameters) })
  return { model: { name, hash }, png, width: width * upscale, height: height * upscale, nsfw }
}

function parametersOf(request: ImagesRequest, noise: Noise, model: Model): Parameters {
  const { images: _, ...asked } = request
  const { scheduler, hash: modelHash, name } = model
  return { ...asked, ...noise, scheduler, modelHash, model: name, version: `Seedling ${VERSION}` }
}

/** Often enough to watch, seldom enough to cost nothing. */
const PREVIEW_INTERVAL_MS = 500

/** Gives a preview where one is due and every image has something to show. */
function previewer({ latentRgb, pipeline }: LoadedModel, samplings: readonly Sampling[]) {
  let shownAt = Number.NEGATIVE_INFINITY
  return async (): Promise<Uint8Array | undefined> => {
    if (!latentRgb || performance.now() - shownAt < PREVIEW_INTERVAL_MS) return undefined
    const originals = samplings.flatMap(({ predOriginalSample }) => predOriginalSample ?? [])
    if (originals.length < samplings.length) return undefined
    shownAt = performance.now()
    return encodePreview(originals, latentRgb, pipeline.modelInfo.vaeScaleFactor)
  }
}
