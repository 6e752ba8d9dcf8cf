import { copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { choosePartFiles, requireVariant } from '../../../src/engine/weights/part-files.ts'
import { openPartWeights } from '../../../src/engine/weights/part-weights.ts'
import { openShards } from '../../../src/engine/weights/shards.ts'
import { temporaryFolder } from '../tiny-pipeline.ts'
import { WEIGHT_FIXTURES, writeSafetensors } from './stored.ts'

const file = (variant: string, format: string) => `diffusion_pytorch_model${variant}.${format}`

describe('choosePartFiles', () => {
  const FULL = ['', '.fp16', '.bf16', '.non_ema'].flatMap((mark) => [file(mark, 'bin'), file(mark, 'safetensors')])
  const chosen = (names: string[], options = {}) =>
    choosePartFiles(['config.json', 'README.md', ...names], options)?.files

  it.each<[string, string[], object, string[] | undefined]>([
    ['what has no mark, in safetensors', FULL, {}, [file('', 'safetensors')]],
    ['the variant', FULL, { variant: 'bf16' }, [file('.bf16', 'safetensors')]],
    ['weights without EMA where they are named', FULL, { variant: 'non_ema' }, [file('.non_ema', 'safetensors')]],
    ['what has no mark where the variant is missing', FULL, { variant: 'fp8' }, [file('', 'safetensors')]],
    ['the half one where that is preferred', FULL, { prefersHalf: true }, [file('.fp16', 'safetensors')]],
    [
      'PyTorch’s where it is the variant',
      [file('', 'safetensors'), file('.fp16', 'bin')],
      { variant: 'fp16' },
      [file('.fp16', 'bin')],
    ],
    ['PyTorch’s where there is no other', [file('', 'bin')], {}, [file('', 'bin')]],
    ['the half one where there is no other', [file('.fp16', 'safetensors')], {}, [file('.fp16', 'safetensors')]],
    ['never training weights by itself', [file('.non_ema', 'safetensors')], {}, undefined],
    [
      'a text encoder',
      ['pytorch_model.bin', 'model.safetensors', 'flax_model.msgpack', 'model.onnx'],
      {},
      ['model.safetensors'],
    ],
    [
      'no graph and no checkpoint',
      ['model.onnx', 'model.onnx_data', 'model.ckpt', 'tf_model.h5', 'weights.pb'],
      {},
      undefined,
    ],
    ['no LoRA', ['pytorch_lora_weights.safetensors'], {}, undefined],
    [
      'nothing that only begins so',
      ['model.safetensors.part', 'xmodel.safetensors', 'model.safetensors.index.json.bak'],
      {},
      undefined,
    ],
    [
      'one file before the shards of it',
      ['model.safetensors', 'model.safetensors.index.json', 'model-00001-of-00001.safetensors'],
      {},
      ['model.safetensors'],
    ],
    [
      'no shards without their index',
      ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'],
      {},
      undefined,
    ],
  ])('takes %s', (_, names, options, wanted) => {
    expect(chosen(names, options)).toEqual(wanted)
  })

  it.each([
    ['without a mark', undefined, ['model-1.safetensors', 'model-2.safetensors', 'model.safetensors.index.json']],
    [
      'of a variant',
      'fp16',
      ['model.fp16-1.safetensors', 'model.fp16-2.safetensors', 'model.safetensors.index.fp16.json'],
    ],
    [
      'in the old way',
      'fp16',
      ['model-1.fp16.safetensors', 'model-2.fp16.safetensors', 'model.safetensors.fp16.index.json'],
    ],
    ['of PyTorch', undefined, ['pytorch_model-1.bin', 'pytorch_model-2.bin', 'pytorch_model.bin.index.json']],
  ])('takes all shards and their index, named %s', (_, variant, short) => {
    const names = short.map((name) => name.replace(/-(\d)/, '-0000$1-of-00002'))
    const found = choosePartFiles([...names, 'diffusion_pytorch_model-00001-of-00001.safetensors'], { variant })
    expect(found).toMatchObject({ name: names[2], variant })
    expect([...found!.files].sort()).toEqual(names.sort())
  })

  it('a variant that no part has is named with those that there are', () => {
    const names = [...FULL, 'model.fp8-00001-of-00002.safetensors']
    expect(() => requireVariant('x', names, 'fp8')).not.toThrow()
    expect(() => requireVariant('x', names, undefined)).not.toThrow()
    expect(() => requireVariant('x', names, 'fp61')).toThrow('x has no variant fp61: it has bf16, fp16, fp8, non_ema;')
    expect(() => requireVariant('x', [file('', 'bin')], 'fp16')).toThrow(
      'x has no variant fp16: its files have no variants;',
    )
  })
})

describe('a part in several files', () => {
  const HALF = { dtype: 'F16', shape: [2], data_offsets: [0, 4] }
  const INDEX = 'model.safetensors.index.json'
  const shards = (
    weightMap: unknown = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  ) => {
    const folder = temporaryFolder()
    for (const [i, name] of ['a', 'b'].entries())
      writeSafetensors(join(folder, `model-0000${i + 1}-of-00002.safetensors`), { [name]: HALF }, 4)
    writeFileSync(join(folder, INDEX), JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap }))
    return folder
  }

  it('is one', () => {
    const folder = shards()
    const { weights } = openPartWeights(folder)
    expect([...weights.names()]).toEqual(['a', 'b'])
    expect(weights.get('b')?.path).toBe(join(folder, 'model-00002-of-00002.safetensors'))
  })

  it('may lie behind links, as in the hub’s cache', () => {
    const folder = shards()
    const snapshot = temporaryFolder()
    for (const name of [INDEX, 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'])
      symlinkSync(join(folder, name), join(snapshot, name))
    expect(openPartWeights(snapshot).weights.get('a')?.path).toBe(join(snapshot, 'model-00001-of-00002.safetensors'))
  })

  it.each([
    ['../model.safetensors'],
    ['/etc/passwd.safetensors'],
    ['C:\\models\\x.safetensors'],
    ['C:x.safetensors'],
    ['..\\x.safetensors'],
    ['sub/x.safetensors'],
    ['x.safetensors\0.txt'],
    ['.'],
    ['config.json'],
  ])('whose index names %j is refused', (name) => {
    expect(() => openPartWeights(shards({ a: name }))).toThrow(
      /index\.json names the file `.*`, which is not in its own folder/,
    )
  })

  it.each<[string, unknown, RegExp]>([
    [
      'a missing file',
      { a: 'model-00003-of-00003.safetensors' },
      /needs `model-00003-of-00003\.safetensors`, which is not beside it/,
    ],
    ['a weight that is not there', { c: 'model-00001-of-00002.safetensors' }, /lacks `c`, which its index promises/],
    ['no names', [], /is no index of shards/],
    ['numbers', { a: 1 }, /is no index of shards/],
  ])('whose index names %s says so', (_, weightMap, sentence) => {
    expect(() => openPartWeights(shards(weightMap))).toThrow(
      expect.objectContaining({ name: 'EngineError', code: 'model', message: expect.stringMatching(sentence) }),
    )
  })

  it.each(['', '[]', '{"weight_map"', '['.repeat(100_000), '['.repeat(20_000_000)])(
    'with the index %.20j says so',
    (json) => {
      const folder = shards()
      writeFileSync(join(folder, INDEX), json)
      expect(() => openShards(join(folder, INDEX))).toThrow(/is no index of shards/)
    },
  )
})

describe('openPartWeights', () => {
  it('gives old weights their current names', () => {
    const folder = temporaryFolder()
    const names = [
      'decoder.mid_block.attentions.0.query.weight',
      'decoder.mid_block.attentions.0.proj_attn.bias',
      'encoder.mid_block.attentions.0.to_v.weight',
      'decoder.mid_block.attentions.0.value.weight',
    ]
    const header = Object.fromEntries(
      names.map((name, i) => [name, { dtype: 'U8', shape: [1], data_offsets: [i, i + 1] }]),
    )
    writeSafetensors(join(folder, file('', 'safetensors')), header, names.length)
    const { weights } = openPartWeights(folder)
    expect([...weights.names()].sort()).toEqual([
      'decoder.mid_block.attentions.0.to_out.0.bias',
      'decoder.mid_block.attentions.0.to_q.weight',
      'decoder.mid_block.attentions.0.to_v.weight',
      'encoder.mid_block.attentions.0.to_v.weight',
    ])
    const start = weights.get('decoder.mid_block.attentions.0.to_q.weight')!.offset
    expect(weights.get('decoder.mid_block.attentions.0.to_out.0.bias')!.offset).toBe(start + 1)
    expect(weights.get('decoder.mid_block.attentions.0.query.weight')).toBeUndefined()
  })

  it('finds a text encoder that was saved without the name of its model', () => {
    const folder = temporaryFolder()
    const names = ['embeddings.token_embedding.weight', 'encoder.layers.0.layer_norm1.weight', 'text_projection.weight']
    const header = Object.fromEntries(
      names.map((name, i) => [name, { dtype: 'U8', shape: [1], data_offsets: [i, i + 1] }]),
    )
    writeSafetensors(join(folder, 'model.safetensors'), header, names.length)
    expect([...openPartWeights(folder).weights.names()]).toEqual([
      'text_model.embeddings.token_embedding.weight',
      'text_model.encoder.layers.0.layer_norm1.weight',
      'text_projection.weight',
    ])
  })

  it('opens a file by what it is, not by its name', () => {
    const folder = temporaryFolder()
    copyFileSync(join(WEIGHT_FIXTURES, 'plain.safetensors'), join(folder, 'pytorch_model.bin'))
    expect(openPartWeights(folder).weights.get('F32')?.shape).toEqual([2, 3])
    renameSync(join(folder, 'pytorch_model.bin'), join(folder, 'model.ckpt'))
    expect(() => openPartWeights(folder)).toThrow(
      /holds no weights \(diffusion_pytorch_model\.safetensors or the like\)/,
    )
    mkdirSync(join(folder, 'deep'))
    expect(() => openPartWeights(join(folder, 'absent'))).toThrow(/holds no weights/)
  })
})
