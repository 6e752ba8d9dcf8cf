/** From what `fromPretrained` is given to a pipeline's parts: a folder as it is, or a hub repository brought here first. */

import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Device, requireDevice } from '../devices/device.ts'
import { EngineError } from '../errors.ts'
import { type DownloadedModel, downloadModel } from '../hub/download.ts'
import { parseHubId } from '../hub/hub-id.ts'
import { requireDtype } from '../models/graph-choice.ts'
import { openCheckpoint } from '../weights/open-checkpoint.ts'
import { hasPartWeights } from '../weights/part-weights.ts'
import { CheckpointSource } from './checkpoint-source.ts'
import { type Components, loadComponents } from './components.ts'
import { type LoadOptions, prefersHalf } from './opening.ts'
import { PipelineFolder } from './pipeline-folder.ts'
import type { PipelineSource } from './pipeline-source.ts'
import { refuseUnknown } from './wrong-argument.ts'

/** What `fromPretrained` tells while it works. */
export type LoadProgress =
  /** Bytes of one file of a hub repository. */
  | { readonly status: 'download'; readonly file: string; readonly loaded: number; readonly total: number }
  /** What device 'auto' became; `reasons` has a sentence for each better one that is not used. */
  | { readonly status: 'device'; readonly device: Device; readonly reasons: readonly string[] }
  /** A part is being opened. */
  | { readonly status: 'load'; readonly part: string }
  /** A sentence for a person: why a device that this machine seems to have is not used, that a part went on in float32. */
  | { readonly status: 'notice'; readonly message: string }

export interface FromPretrainedOptions extends LoadOptions {
  /** Of a hub repository: branch, tag or commit. Default 'main'. */
  readonly revision?: string | undefined
  /** The mark in the names of PyTorch's files that are to be taken: 'fp16' for `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string | undefined
  /** A VAE in place of the model's own, or for a file that has none: a file, a folder in diffusers' layout, or one of either on a hub. */
  readonly vae?: string | undefined
  /** Text encoders in place of the model's own, or for a file that has none. */
  readonly textEncoder?: string | readonly string[] | undefined
  /** Told what happens; notices go to Node's warnings where this is absent. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
}

/** All names, which the compiler holds complete. */
const OPTIONS: Readonly<Record<keyof FromPretrainedOptions, true>> = {
  revision: true,
  variant: true,
  vae: true,
  textEncoder: true,
  onProgress: true,
  dtype: true,
  device: true,
  controlnet: true,
  loras: true,
  sessionOptions: true,
  cacheDir: true,
}

/**
 * @throws EngineError 'argument' for a device or a dtype that does not exist, before anything is fetched, 'model' for what is
 *   no pipeline or is damaged, 'device' when the device cannot run it.
 */
export async function openModel(model: string, options: FromPretrainedOptions): Promise<Components> {
  refuseUnknown('option', options, OPTIONS)
  const { device = 'auto', dtype = 'auto' } = options
  if (device !== 'auto') requireDevice(device)
  requireDtype(dtype, device)
  const tell = options.onProgress ?? warnOfNotices
  const here = await withPartsHere(options)
  return loadComponents(await openSource(model, here), here, {
    onDevice: (device, reasons) => tell({ status: 'device', device, reasons }),
    onPart: (part) => tell({ status: 'load', part }),
    onNotice: (message) => tell({ status: 'notice', message }),
  })
}

/** What a pipeline would be opened from, a hub's repository brought here first. @throws EngineError 'model' */
export async function openSource(model: string, options: FromPretrainedOptions = {}): Promise<PipelineSource> {
  const { path, variant } = await bringHere(model, options)
  const isTorch = !statSync(path).isDirectory() || hasPartWeights(join(path, 'unet'))
  // Only PyTorch's files have variants.
  if (!isTorch || (PipelineFolder.holdsGraphs(path) && options.variant === undefined)) return PipelineFolder.open(path)
  const { vae, textEncoder, dtype } = options
  return new CheckpointSource(await openCheckpoint(path, { variant, vae, textEncoder, prefersHalf: dtype === 'fp16' }))
}

/** Parts of their own may be on a hub too; the revision and the variant are the model's. */
async function withPartsHere(options: FromPretrainedOptions): Promise<FromPretrainedOptions> {
  const pathOf = async (part: string) =>
    (await bringHere(part, { ...options, revision: undefined, variant: undefined })).path
  const pathsOf = (parts: string | readonly string[]) => Promise.all([parts].flat().map(pathOf))
  const { vae, textEncoder, controlnet } = options
  return {
    ...options,
    vae: vae && (await pathOf(vae)),
    textEncoder: textEncoder && (await pathsOf(textEncoder)),
    controlnet: controlnet && (await pathsOf(controlnet)),
  }
}

/** A path as it is, a hub's model fetched. */
async function bringHere(model: string, options: FromPretrainedOptions): Promise<DownloadedModel> {
  if (existsSync(model)) return { path: model, variant: options.variant }
  const id = parseHubId(model)
  if (!id)
    throw new EngineError('model', `There is no folder ${model}; check the path, or give a hub repository as org/name.`)
  const tell = options.onProgress ?? warnOfNotices
  return downloadModel(id, {
    revision: options.revision,
    variant: options.variant,
    dtype: options.dtype ?? 'auto',
    onGpu: prefersHalf(options),
    onProgress: (file, loaded, total) => tell({ status: 'download', file, loaded, total }),
    onNotice: (message) => tell({ status: 'notice', message }),
  })
}

/** What hears of a loading that nobody listens to. */
export function warnOfNotices(progress: LoadProgress): void {
  if (progress.status === 'notice') process.emitWarning(progress.message)
}
