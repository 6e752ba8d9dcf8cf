/**
 * The tiny checkpoints of `tests/fixtures/checkpoints`, written as diffusers' folders or as single files in the original
 * layout. Their numbers follow from their names, by the rule of the `make_checkpoints.py` that lies there.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { toFloat16 } from '../../src/engine/float16.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

export const CHECKPOINTS = fileURLToPath(new URL('../fixtures/checkpoints/', import.meta.url))

type Row = [name: string, shape: number[], exponent: number, base: number, original: string, how: string]

interface Part {
  readonly kind: 'unet' | 'controlnet' | 'vae' | 'clip' | 'open_clip'
  readonly config: Record<string, unknown>
  readonly tensors: readonly Row[]
  /** Another part, whose tensors it has too where it names no others. */
  readonly like?: string
}

interface Model {
  readonly index: Record<string, unknown>
  readonly scheduler: Record<string, unknown>
  /** By their folders. */
  readonly parts: Readonly<Record<string, string>>
}

export type Dtype = 'F32' | 'F16' | 'BF16' | 'F8_E4M3'

/** A tensor to be written: its numbers, row after row. */
export interface Tiny {
  readonly shape: readonly number[]
  readonly data: Float32Array
  /** F32 unless it says otherwise. */
  readonly dtype?: Dtype
}

export type TinyTensors = Map<string, Tiny>

const fixture = JSON.parse(readFileSync(join(CHECKPOINTS, 'checkpoints.json'), 'utf8')) as {
  readonly parts: Readonly<Record<string, Part>>
  readonly models: Readonly<Record<string, Model>>
}

/** CLIP's words; fewer of them where no prompt is read make files that are written in no time. */
let words = 49408

export function setWords(count: number): void {
  words = count
}

export const MODELS = Object.keys(fixture.models)

export function modelNamed(name: string): Model {
  return fixture.models[name]!
}

export function partNamed(name: string): Part {
  const part = fixture.parts[name]!
  if (part.like === undefined) return 'vocab_size' in part.config ? withWords(part) : part
  const rows = new Map(partNamed(part.like).tensors.map((row) => [row[0], row]))
  for (const row of part.tensors) rows.set(row[0], row)
  return { ...part, tensors: [...rows.values()] }
}

function withWords(part: Part): Part {
  const tensors = part.tensors.map(
    ([name, [rows = 0, ...rest], ...row]): Row => [
      name,
      [name.endsWith('token_embedding.weight') ? words : rows, ...rest],
      ...row,
    ],
  )
  return { ...part, config: { ...part.config, vocab_size: words }, tensors }
}

const made = new Map<string, TinyTensors>()

/** By diffusers' and transformers' names. */
export function tensorsOf(name: string): TinyTensors {
  const tensors = made.get(name) ?? makeTensors(name)
  made.set(name, tensors)
  return new Map(tensors)
}

function makeTensors(name: string): TinyTensors {
  return new Map(
    partNamed(name).tensors.map(([tensor, shape, exponent, base]) => [
      tensor,
      { shape, data: numbers(`${name}/${tensor}`, shape, exponent, base) },
    ]),
  )
}

/** By the original layout's names, behind a prefix, as they lie there. */
export function originalTensorsOf(name: string, prefix: string): TinyTensors {
  const found: TinyTensors = new Map()
  const thirds = new Map<string, Tiny[]>()
  const tensors = tensorsOf(name)
  for (const [tensor, , , , original, how] of partNamed(name).tensors) {
    const own = tensors.get(tensor)!
    const at = prefix + original
    if (how === 'transposed') found.set(at, transposed(own))
    else if (how === 'convolution') found.set(at, { ...own, shape: [...own.shape, 1, 1] })
    else if (how.startsWith('third')) {
      const parts = thirds.get(at) ?? []
      parts[Number(how.at(-1))] = own
      thirds.set(at, parts)
    } else found.set(at, own)
  }
  for (const [at, parts] of thirds) found.set(at, stacked(parts))
  return found
}

/** The numbers of `numbers` in make_checkpoints.py. */
export function numbers(seed: string, shape: readonly number[], exponent: number, base: number): Float32Array {
  let start = 0x811c9dc5
  for (const byte of Buffer.from(seed)) start = Math.imul(start ^ byte, 0x01000193)
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1))
  const step = 2 ** (-15 - exponent)
  for (let i = 0; i < data.length; i++) {
    let hash = (Math.imul(i, 0x9e3779b9) + start) | 0
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    data[i] = base + ((hash >>> 16) - 32768) * step
  }
  return data
}

export interface FolderOptions {
  readonly dtype?: Dtype
  /** As diffusers' `save_pretrained(variant=…)`. */
  readonly variant?: string
  /** In so many files with an index, each part's UNet. */
  readonly shards?: number
  /** The names that VAEs had before diffusers 0.17. */
  readonly oldVaeNames?: boolean
}

/** A model as diffusers saves it, but for tokenizers. */
export function tinyFolder(name: string, options: FolderOptions = {}): string {
  const folder = temporaryFolder()
  const { index, scheduler, parts } = modelNamed(name)
  writeJson(join(folder, 'model_index.json'), index)
  mkdirSync(join(folder, 'scheduler'))
  writeJson(join(folder, 'scheduler', 'scheduler_config.json'), scheduler)
  for (const [part, of] of Object.entries(parts)) writePart(join(folder, part), part, of, options)
  return folder
}

function writePart(folder: string, part: string, of: string, options: FolderOptions): void {
  const { dtype = 'F32', variant, shards = 1, oldVaeNames = false } = options
  mkdirSync(folder)
  writeJson(join(folder, 'config.json'), partNamed(of).config)
  const renamed = [...tensorsOf(of)].map(
    ([name, tensor]) => [part === 'vae' && oldVaeNames ? oldVaeName(name) : name, { ...tensor, dtype }] as const,
  )
  const stem = part.startsWith('text_encoder') ? 'model' : 'diffusion_pytorch_model'
  const mark = variant === undefined ? '' : `.${variant}`
  if (part !== 'unet' || shards === 1) {
    writeSafetensors(join(folder, `${stem}${mark}.safetensors`), new Map(renamed))
    return
  }
  const weightMap: Record<string, string> = {}
  for (let shard = 0; shard < shards; shard++) {
    const file = `${stem}${mark}-0000${shard + 1}-of-0000${shards}.safetensors`
    const own = renamed.filter((_, i) => i % shards === shard)
    writeSafetensors(join(folder, file), new Map(own))
    for (const [name] of own) weightMap[name] = file
  }
  writeJson(join(folder, `${stem}.safetensors.index${mark}.json`), { metadata: {}, weight_map: weightMap })
}

function oldVaeName(name: string): string {
  return name
    .replace(/attentions\.0\.to_q/, 'attentions.0.query')
    .replace(/attentions\.0\.to_k/, 'attentions.0.key')
    .replace(/attentions\.0\.to_v/, 'attentions.0.value')
    .replace(/attentions\.0\.to_out\.0/, 'attentions.0.proj_attn')
}

/** Where each part lies in a single file of the family. */
export function singleFileTensors(name: string): TinyTensors {
  const { parts } = modelNamed(name)
  const tensors: TinyTensors = new Map()
  const add = (part: string, prefix: string) => {
    for (const [key, tensor] of originalTensorsOf(part, prefix)) tensors.set(key, tensor)
  }
  add(parts.unet!, 'model.diffusion_model.')
  add(parts.vae!, 'first_stage_model.')
  const [first, second] = [parts.text_encoder, parts.text_encoder_2]
  if (second !== undefined) add(second, `conditioner.embedders.${first === undefined ? 0 : 1}.model.`)
  if (first === undefined) return tensors
  if (second !== undefined) add(first, 'conditioner.embedders.0.transformer.')
  else if (partNamed(first).kind === 'clip') add(first, 'cond_stage_model.transformer.')
  else {
    add(first, 'cond_stage_model.model.')
    addUnusedLayer(tensors, 'cond_stage_model.model.')
  }
  return tensors
}

/** Stable Diffusion 2's files hold open_clip's last layer and projection, which it does not use. */
function addUnusedLayer(tensors: TinyTensors, prefix: string): void {
  const layers = new Set([...tensors.keys()].flatMap((key) => /\.resblocks\.(\d+)\./.exec(key)?.[1] ?? [])).size
  for (const [key, { shape }] of [...tensors])
    if (key.startsWith(`${prefix}transformer.resblocks.0.`)) {
      const unused = key.replace('.resblocks.0.', `.resblocks.${layers}.`)
      tensors.set(unused, { shape, data: numbers(unused, shape, 0, 0) })
    }
  const width = tensors.get(`${prefix}ln_final.weight`)!.shape[0]!
  tensors.set(`${prefix}text_projection`, {
    shape: [width, width],
    data: numbers('text_projection', [width, width], 0, 0),
  })
  tensors.set(`${prefix}logit_scale`, { shape: [], data: Float32Array.of(4.6) })
}

/** @returns The path of a file that is gone after the tests. */
export function tinyFile(tensors: TinyTensors, metadata?: Record<string, string>, name = 'model.safetensors'): string {
  const path = join(temporaryFolder(), name)
  writeSafetensors(path, tensors, metadata)
  return path
}

export function withDtype(tensors: TinyTensors, dtype: (name: string) => Dtype): TinyTensors {
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, dtype: dtype(name) }]))
}

/** https://github.com/huggingface/safetensors#format */
export function writeSafetensors(path: string, tensors: TinyTensors, metadata?: Record<string, string>): void {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {}
  const bodies: Uint8Array[] = []
  let at = 0
  for (const [name, { shape, data, dtype = 'F32' }] of tensors) {
    const bytes = bytesOf(data, dtype)
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] }
    bodies.push(bytes)
    at += bytes.length
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(path, Buffer.concat([length, json, ...bodies]))
}

/** As a cast in torch rounds them. */
export function bytesOf(data: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  if (dtype === 'F8_E4M3') return Uint8Array.from(data, eighthBits)
  const halves = new Uint16Array(data.length)
  if (dtype === 'F16') toFloat16(data, halves)
  else {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
    for (let i = 0; i < bits.length; i++) halves[i] = (bits[i]! + 0x7fff + ((bits[i]! >>> 16) & 1)) >>> 16
  }
  return new Uint8Array(halves.buffer)
}

/** 4 bits of exponent, 3 of mantissa, no infinity (torch's float8_e4m3fn); for numbers below 448. */
function eighthBits(value: number): number {
  const sign = value < 0 ? 0x80 : 0
  const exponent = Math.max(-6, Math.floor(Math.log2(Math.abs(value))))
  // Eighths of the power of two; what rounds up to the next one carries into the exponent by itself.
  const eighths = roundedToEven(Math.abs(value) * 2 ** (3 - exponent))
  return sign | (((exponent + 6) << 3) + eighths)
}

function roundedToEven(value: number): number {
  const down = Math.floor(value)
  const rest = value - down
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down
}

export function transposed({ shape, data }: Tiny): Tiny {
  const [rows = 0, columns = 0] = shape
  const turned = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) turned[(i % columns) * rows + Math.floor(i / columns)] = data[i]!
  return { shape: [columns, rows], data: turned }
}

function stacked(parts: readonly Tiny[]): Tiny {
  const [rows = 0, ...rest] = parts[0]!.shape
  const data = new Float32Array(parts.length * parts[0]!.data.length)
  for (const [i, part] of parts.entries()) data.set(part.data, i * part.data.length)
  return { shape: [parts.length * rows, ...rest], data }
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value))
}
