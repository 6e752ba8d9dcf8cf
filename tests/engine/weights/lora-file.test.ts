import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../../src/engine/errors.ts'
import { findLayers } from '../../../src/engine/graph/find-layers.ts'
import { writeUNet } from '../../../src/engine/graph/write/unet.ts'
import { readLora } from '../../../src/engine/weights/lora.ts'
import type { LoraPart } from '../../../src/engine/weights/lora-names.ts'
import { readTextualInversion } from '../../../src/engine/weights/textual-inversion.ts'
import { openWeightFile } from '../../../src/engine/weights/weight-file.ts'
import { type Tiny, tinyFile } from '../tiny-checkpoint.ts'
import { temporaryFolder } from '../tiny-pipeline.ts'
import { readCase, writtenWeights } from '../written-graphs.ts'

const FOLDER = fileURLToPath(new URL('../../fixtures/lora/', import.meta.url))

const unet = readCase('unet-sd1')
const UNET = findLayers(writeUNet(unet.config, writtenWeights(unet)))
const LAYERS = (part: LoraPart) => (part === 'unet' ? UNET : undefined)

const KEY = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q'
const CONV = 'lora_unet_mid_block_resnets_0_conv1'

function matrix(...shape: number[]): Tiny {
  const count = shape.reduce((product, dim) => product * dim, 1)
  return { shape, data: Float32Array.from({ length: count }, (_, i) => (i % 7) - 3) }
}

const number = (value: number): Tiny => ({ shape: [], data: Float32Array.of(value) })
const pair = (key: string, into: number, out: number, rank = 2) => ({
  [`${key}.lora_down.weight`]: matrix(rank, into),
  [`${key}.lora_up.weight`]: matrix(out, rank),
})

function read(tensors: Record<string, Tiny>, metadata?: Record<string, string>) {
  const path = tinyFile(new Map(Object.entries(tensors)), metadata, 'some-lora.safetensors')
  return readLora(openWeightFile(path), path, LAYERS)
}

function layer(tensors: Record<string, Tiny>, metadata?: Record<string, string>) {
  return [...read(tensors, metadata).get('unet')!.values()][0]!
}

describe('a LoRA file', () => {
  it('every layer of a written UNet is found', () => {
    const matrices = Object.entries(unet.weights).filter(([, shape]) => shape.length > 1)
    expect(UNET.map(({ name }) => `${name}.weight`).sort()).toEqual(matrices.map(([name]) => name).sort())
  })

  it('scales by alpha over rank, by the file’s own alpha before its metadata’s', () => {
    const config = (more: object) => ({ lora_adapter_metadata: JSON.stringify({ 'unet.lora_alpha': 8, ...more }) })
    expect(layer(pair(KEY, 8, 8)).scale).toBe(1)
    expect(layer({ ...pair(KEY, 8, 8, 4), [`${KEY}.alpha`]: number(1) }).scale).toBe(0.25)
    expect(layer(pair(KEY, 8, 8, 4), config({})).scale).toBe(2)
    expect(layer(pair(KEY, 8, 8, 4), config({ 'unet.use_rslora': true })).scale).toBe(4)
    expect(layer(pair(KEY, 8, 8, 4), config({ 'unet.alpha_pattern': { to_q: 2, to_k: 3 } })).scale).toBe(0.5)
    expect(layer({ ...pair(KEY, 8, 8, 4), [`${KEY}.alpha`]: number(1) }, config({})).scale).toBe(0.25)
  })

  it('takes a convolution of 1×1 for a linear layer, and the reverse', () => {
    const linear = layer(pair(KEY, 8, 8))
    const conv = { [`${KEY}.lora_down.weight`]: matrix(2, 8, 1, 1), [`${KEY}.lora_up.weight`]: matrix(8, 2, 1, 1) }
    expect(layer(conv)).toEqual(linear)
    expect(layer(pair('lora_unet_down_blocks_0_attentions_0_proj_in', 8, 8)).rank).toBe(2)
  })

  const others: [method: string, key: string][] = [
    ['LoHa', 'hada_w1_a'],
    ['LoKr', 'lokr_w1'],
    ['DoRA', 'dora_scale'],
    ['OFT', 'oft_blocks'],
    ['GLoRA', 'a1.weight'],
    ['(IA)³', 'on_input'],
    ['LyCORIS full', 'diff'],
    ['LyCORIS norm', 'w_norm'],
    ['a LoRA with biases', 'lora_B.bias'],
  ]
  it.each(others)('%s is refused by name', (method, key) => {
    const found = () => read({ ...pair(CONV, 24, 24), [`${KEY}.${key}`]: matrix(2, 8) })
    expect(found).toThrow(`some-lora.safetensors is ${method}, which is not supported; give a LoRA or a LoCon.`)
  })

  it.each<[what: string, tensors: Record<string, Tiny>, sentence: string]>([
    [
      'another model’s',
      pair('lora_unet_double_blocks_0_img_attn_qkv', 8, 8),
      'another model: this one lacks its layers (`lora_unet_double_blocks_0_img_attn_qkv`)',
    ],
    [
      'one with a layer too many',
      { ...pair(KEY, 8, 8), ...pair('lora_unet_up_blocks_9_conv', 8, 8) },
      'this one lacks 1 of its 2 layers (`lora_unet_up_blocks_9_conv`)',
    ],
    [
      'one for a part that is not there',
      pair('lora_te2_text_model_encoder_layers_0_mlp_fc1', 8, 8),
      'is a LoRA for another model',
    ],
    [
      'another family’s',
      pair(KEY, 320, 320),
      'another family: its `lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q` takes 320 numbers and gives 320, where this model’s takes 8 and gives 8'.replace(
        '’',
        "'",
      ),
    ],
    ['another kernel’s', pair(CONV, 24, 24), 'another family'],
    ['no LoRA', { 'model.weight': matrix(2, 2) }, "is no LoRA: none of its keys is a LoRA's (`model.weight`)"],
    [
      'one with other things in it',
      { ...pair(KEY, 8, 8), what: matrix(2, 2) },
      "holds keys that are not a LoRA's (`what`)",
    ],
    ['half a pair', { [`${KEY}.lora_up.weight`]: matrix(8, 2) }, 'only one of the two matrices'],
    [
      'two ranks',
      { [`${KEY}.lora_down.weight`]: matrix(2, 8), [`${KEY}.lora_up.weight`]: matrix(8, 3) },
      'do not fit together',
    ],
    ['rank 0', pair(KEY, 8, 8, 0), 'do not fit together'],
    [
      'a vector',
      { [`${KEY}.lora_down.weight`]: matrix(8), [`${KEY}.lora_up.weight`]: matrix(8) },
      'do not fit together',
    ],
    ['a list for alpha', { ...pair(KEY, 8, 8), [`${KEY}.alpha`]: matrix(2) }, 'do not fit together'],
    ['NaN for alpha', { ...pair(KEY, 8, 8), [`${KEY}.alpha`]: number(Number.NaN) }, 'an alpha in it is no number'],
    [
      'infinity',
      {
        ...pair(KEY, 8, 8),
        [`${KEY}.lora_up.weight`]: { shape: [8, 2], data: new Float32Array(16).fill(Number.POSITIVE_INFINITY) },
      },
      'holds NaN or infinity',
    ],
    [
      'an odd middle',
      { ...pair(CONV, 24, 24), [`${CONV}.lora_mid.weight`]: matrix(2, 3, 3, 3) },
      'do not fit together',
    ],
    ['nothing', {}, 'is no LoRA'],
  ])('%s is said in a sentence', (_what, tensors, sentence) => {
    expect(() => read(tensors)).toThrow(sentence)
    expect(() => read(tensors)).toThrow(EngineError)
  })

  it('metadata that is no JSON is said', () => {
    for (const lora_adapter_metadata of ['{', 'null', '7'])
      expect(() => read(pair(KEY, 8, 8), { lora_adapter_metadata })).toThrow(
        'its lora_adapter_metadata is no JSON object',
      )
  })

  it('whatever becomes of a file, it is read or refused in a sentence', () => {
    const original = readFileSync(join(FOLDER, 'peft.safetensors'))
    const folder = temporaryFolder()
    // Most of a file is numbers; what says what they are stands in front.
    const place = fc.oneof(fc.nat(6000), fc.nat(original.length - 1))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.option(place),
        (changes, cut) => {
          const bytes = Buffer.from(original)
          for (const [at, value] of changes) bytes[at] = value
          const path = join(folder, 'mutated.safetensors')
          writeFileSync(path, cut === null ? bytes : bytes.subarray(0, cut))
          for (const use of [readLora, readTextualInversion])
            try {
              use(openWeightFile(path), path, LAYERS)
            } catch (error) {
              expect(error).toBeInstanceOf(EngineError)
              expect((error as Error).message).not.toContain('\n')
            }
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('a textual inversion’s file', () => {
  const inversion = (tensors: Record<string, Tiny>, name = 'my-style.safetensors') => {
    const path = tinyFile(new Map(Object.entries(tensors)), undefined, name)
    return readTextualInversion(openWeightFile(path), path)
  }

  it('is named by what it says, or by its own name', () => {
    expect(inversion({ '<cat>': matrix(4) })).toMatchObject({ token: '<cat>', vectors: [{ width: 4 }] })
    expect(inversion({ emb_params: matrix(2, 4) })).toMatchObject({ token: 'my-style', vectors: [{ width: 4 }] })
    expect(inversion({ clip_g: matrix(2, 6), clip_l: matrix(2, 4) })).toMatchObject({
      token: 'my-style',
      vectors: [{ width: 4 }, { width: 6 }],
    })
    const path = join(FOLDER, 'a1111.pt')
    expect(readTextualInversion(openWeightFile(path), path).token).toBe('tiny-style')
  })

  it.each<[what: string, tensors: Record<string, Tiny>, sentence: string]>([
    [
      'a model',
      { 'a.weight': matrix(2, 2), 'b.weight': matrix(2, 2) },
      'is no textual inversion (`a.weight`, `b.weight`)',
    ],
    ['a kernel', { emb_params: matrix(2, 2, 3, 3) }, 'has the shape [2, 2, 3, 3]'],
    ['a table', { emb_params: matrix(400, 2) }, 'has the shape [400, 2]'],
    ['nothing', {}, 'is no textual inversion'],
    ['no vectors', { emb_params: matrix(0, 4) }, 'has the shape [0, 4]'],
    ['NaN', { emb_params: { shape: [1, 1], data: Float32Array.of(Number.NaN) } }, 'holds NaN or infinity'],
  ])('%s is refused', (_what, tensors, sentence) => {
    expect(() => inversion(tensors)).toThrow(sentence)
  })
})
