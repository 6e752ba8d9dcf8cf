/** Which files of a hub repository a pipeline needs: its configs, its tokenizers, one graph a part with the weights beside it. */

import { chooseGraph, type Dtype } from '../models/graph-choice.ts'

const PARTS = ['unet', 'vae_decoder', 'vae_encoder', 'text_encoder', 'text_encoder_2', 'safety_checker']

const CONFIGS = new Set([
  'model_index.json',
  'generation_config.json',
  'scheduler/scheduler_config.json',
  'feature_extractor/preprocessor_config.json',
  'vae/config.json',
  ...PARTS.map((part) => `${part}/config.json`),
])

const TOKENIZER =
  /^tokenizer(?:_2)?\/(?:tokenizer|tokenizer_config|special_tokens_map|vocab)\.json$|^tokenizer(?:_2)?\/merges\.txt$/

/** What other frameworks, people and git leave in a part's folder; anything else may be a graph's weights. */
const NOT_WEIGHTS = /\.(?:json|safetensors|bin|pt|pth|ckpt|msgpack|h5|onnx|ort|txt|md|py|xml|tflite|gguf)$|^\./

export function neededFiles<File extends { readonly path: string }>(
  files: readonly File[],
  dtype: Dtype,
  onGpu: boolean,
): File[] {
  const configs = files.filter(({ path }) => CONFIGS.has(path) || TOKENIZER.test(path))
  // SDXL's VAE overflows in half precision, so it is run in float32 where the repository has it.
  const isXl = files.some(({ path }) => path.startsWith('text_encoder_2/'))
  const dtypeOf = (part: string) => (isXl && part.startsWith('vae_') ? 'fp32' : dtype)
  return [...configs, ...PARTS.flatMap((part) => partFiles(files, part, dtypeOf(part), onGpu))]
}

/** A text-to-image repository without a graph of its UNet was never exported. */
export function hasGraphs(files: readonly { readonly path: string }[]): boolean {
  return files.some(({ path }) => /^unet\/[^/]+\.onnx$/.test(path))
}

function partFiles<File extends { readonly path: string }>(
  files: readonly File[],
  part: string,
  dtype: Dtype,
  onGpu: boolean,
): File[] {
  const own = files.filter(({ path }) => path.startsWith(`${part}/`) && !path.slice(part.length + 1).includes('/'))
  const nameOf = ({ path }: File) => path.slice(part.length + 1)
  const graphs = own.map(nameOf).filter((name) => name.endsWith('.onnx'))
  // Where the wanted precision is missing, the other is fetched, so that opening it can say what there is.
  const chosen = (chooseGraph(graphs, dtype, onGpu) ?? chooseGraph(graphs, 'auto', onGpu))?.name
  if (chosen === undefined) return []
  return own.filter((file) => {
    const name = nameOf(file)
    if (name === chosen) return true
    const another = graphs.some((graph) => graph !== chosen && name.startsWith(graph) && !chosen.startsWith(graph))
    return !NOT_WEIGHTS.test(name) && !another
  })
}
