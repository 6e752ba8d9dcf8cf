/** What well-known repositories of the Hugging Face hub hold, by branch, to be stood up on the fake hub. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from './tiny-pipeline.ts'
import { WEIGHT_FIXTURES } from './weights/stored.ts'

const TOKENIZER = ['merges.txt', 'special_tokens_map.json', 'tokenizer_config.json', 'vocab.json'].map(
  (name) => `tokenizer/${name}`,
)

const CONFIGS = [
  '.gitattributes',
  'README.md',
  'feature_extractor/preprocessor_config.json',
  'model_index.json',
  'safety_checker/config.json',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  ...TOKENIZER,
  'unet/config.json',
  'vae/config.json',
]

/** Of each part in both formats, with that mark in the names. */
function weights(mark: string): string[] {
  return [
    ...['safety_checker', 'text_encoder'].flatMap((part) => [
      `${part}/model${mark}.safetensors`,
      `${part}/pytorch_model${mark}.bin`,
    ]),
    ...['unet', 'vae'].flatMap((part) =>
      ['safetensors', 'bin'].map((format) => `${part}/diffusion_pytorch_model${mark}.${format}`),
    ),
  ]
}

const NON_EMA = ['safetensors', 'bin'].map((format) => `unet/diffusion_pytorch_model.non_ema.${format}`)

/** CompVis/stable-diffusion-v1-4: the branch fp16 has the half weights under plain names; one branch is for Flax, one for ONNX. */
export const STABLE_DIFFUSION_V1_4 = {
  main: [...CONFIGS, 'scheduler/scheduler_config-checkpoint.json', ...weights(''), ...weights('.fp16'), ...NON_EMA],
  fp16: [...CONFIGS, ...weights('')],
  flax: [...CONFIGS, 'unet/diffusion_flax_model.msgpack', 'vae/diffusion_flax_model.msgpack'],
}

/** hakurei/waifu-diffusion: a diffusers folder, and checkpoints beside it. */
export const WAIFU_DIFFUSION = {
  main: [
    ...CONFIGS,
    ...weights(''),
    'diffusers/README.md',
    'wd-v1-3-float16.ckpt',
    'wd-v1-3-float32.ckpt',
    'wd-v1-3-full.ckpt',
    'safetensors/wd-v1-3-float16.safetensors',
  ],
}

/** Another file of that folder, or one of the tiny ones of PyTorch. */
export type Content = (path: string) => Buffer | string | undefined

/** A folder with those files. */
export function repositoryFolder(paths: readonly string[], content: Content = () => undefined): string {
  const folder = temporaryFolder()
  for (const path of paths) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), content(path) ?? tinyContent(path))
  }
  return folder
}

/** Each file's content is its own, as the cache keeps one copy of equal files. */
function tinyContent(path: string): Buffer | string {
  if (path.endsWith('.safetensors')) return withMetadata(fixture('plain.safetensors'), path)
  if (path.endsWith('.bin')) return withComment(fixture('plain.bin'), path)
  if (path.endsWith('.ckpt')) return withComment(fixture('lightning.ckpt'), path)
  return JSON.stringify({ path })
}

function fixture(name: string): Buffer {
  return readFileSync(join(WEIGHT_FIXTURES, name))
}

function withMetadata(file: Buffer, path: string): Buffer {
  const end = 8 + Number(file.readBigUInt64LE())
  const header = JSON.parse(file.toString('utf8', 8, end)) as object
  const json = Buffer.from(JSON.stringify({ ...header, __metadata__: { path } }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, file.subarray(end)])
}

/** A zip archive may end with a comment, whose length stands before it. */
function withComment(archive: Buffer, comment: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16LE(comment.length)
  return Buffer.concat([archive.subarray(0, -2), length, Buffer.from(comment)])
}
