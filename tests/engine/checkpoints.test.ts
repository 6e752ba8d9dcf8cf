/** Checkpoints: what a file or a folder holds is found out from it, and every weight is the one that diffusers would load. */

import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type SchedulerConfig, StableDiffusionPipeline, schedulerFromConfig } from '../../src/engine/index.ts'
import type { Checkpoint, CheckpointPart } from '../../src/engine/weights/checkpoint.ts'
import { openControlNet } from '../../src/engine/weights/controlnet-weights.ts'
import { identify } from '../../src/engine/weights/identify.ts'
import { openCheckpoint } from '../../src/engine/weights/open-checkpoint.ts'
import type { StoredTensor } from '../../src/engine/weights/stored-tensor.ts'
import { openWeightFile } from '../../src/engine/weights/weight-file.ts'
import {
  bytesOf,
  type Dtype,
  MODELS,
  modelNamed,
  originalTensorsOf,
  partNamed,
  setWords,
  singleFileTensors,
  type TinyTensors,
  tensorsOf,
  tinyFile,
  tinyFolder,
  transposed,
  withDtype,
} from './tiny-checkpoint.ts'
import { ON_CPU } from './tiny-pipeline.ts'

setWords(600)

/** Those that differ in their files; sdxl-turbo differs from sdxl in its scheduler alone. */
const FILES = MODELS.filter((name) => name !== 'sdxl-turbo')

/** Every tensor's shape, type and bytes, where the view says that they lie. */
function expectWeights(checkpoint: Checkpoint, name: string, dtype: (tensor: string) => Dtype = () => 'F32') {
  const { parts } = modelNamed(name)
  expect([...checkpoint.parts.keys()].sort()).toEqual(Object.keys(parts).sort())
  for (const [part, of] of Object.entries(parts)) {
    const { weights } = checkpoint.parts.get(part as CheckpointPart)!
    const expected = tensorsOf(of)
    expect([...weights.names()].sort()).toEqual([...expected.keys()].sort())
    for (const [tensor, { shape, data }] of expected) {
      const stored = weights.get(tensor)!
      expect({ tensor, shape: stored.shape, dtype: stored.dtype }).toEqual({ tensor, shape, dtype: dtype(tensor) })
      const lies = stored.transposed ? transposed({ shape, data }).data : data
      expect(Buffer.compare(bytesAt(stored), bytesOf(lies, dtype(tensor))), tensor).toBe(0)
    }
  }
}

const files = new Map<string, Buffer>()

function bytesAt({ path, offset, length }: StoredTensor): Buffer {
  const file = files.get(path) ?? readFileSync(path)
  files.clear()
  files.set(path, file)
  return file.subarray(offset, offset + length)
}

function withoutVersion({ _diffusers_version, ...config }: Record<string, unknown>) {
  return config
}

/** What diffusers' own defaults fill in may be left out of a config. */
const UNET_DEFAULTS = {
  mid_block_type: 'UNetMidBlock2DCrossAttn',
  use_linear_projection: false,
  transformer_layers_per_block: 1,
  addition_embed_type: null,
  addition_time_embed_dim: null,
  projection_class_embeddings_input_dim: null,
  time_cond_proj_dim: null,
  act_fn: 'silu',
  flip_sin_to_cos: true,
  freq_shift: 0,
  norm_num_groups: 32,
  norm_eps: 1e-5,
}

const VAE_DEFAULTS = { mid_block_add_attention: true, use_quant_conv: true, use_post_quant_conv: true }

describe.each(FILES)('%s as one file in the original layout', (name) => {
  const { index, parts } = modelNamed(name)
  let checkpoint: Checkpoint
  beforeAll(async () => {
    checkpoint = await openCheckpoint(tinyFile(singleFileTensors(name)))
  })

  it('has every weight by diffusers’ name, in place', () => {
    expectWeights(checkpoint, name)
  })

  it('has the configs that diffusers saved', () => {
    const config = (part: CheckpointPart) => checkpoint.parts.get(part)!.config
    const saved = withoutVersion(partNamed(parts.unet!).config)
    expect(config('unet')).toMatchObject({
      ...UNET_DEFAULTS,
      ...saved,
      sample_size: expect.any(Number),
    })
    expect(config('vae')).toMatchObject({
      ...VAE_DEFAULTS,
      ...withoutVersion(partNamed(parts.vae!).config),
      sample_size: expect.any(Number),
    })
    for (const part of ['text_encoder', 'text_encoder_2'] as const)
      if (parts[part] !== undefined) expect(config(part)).toEqual(partNamed(parts[part]).config)
    expect(checkpoint.index).toMatchObject(withoutVersion(index))
  })

  it('has the family’s scheduler, and its own tokenizers', () => {
    const { scheduler, tokenizers } = checkpoint
    const saved = schedulerFromConfig(modelNamed(name).scheduler as SchedulerConfig)
    const own = schedulerFromConfig(scheduler as SchedulerConfig)
    expect(own.constructor).toBe(saved.constructor)
    expect(own.config).toMatchObject(modelNamed(name).scheduler)
    const first = name === 'refiner' ? [] : [['tokenizer', name.startsWith('sd2') ? '!' : '<|endoftext|>']]
    const second = parts.text_encoder_2 === undefined ? [] : [['tokenizer_2', '!']]
    expect([...tokenizers].map(([key, settings]) => [key, (settings as { pad_token: string }).pad_token])).toEqual([
      ...first,
      ...second,
    ])
  })
})

describe('what such files have in practice', () => {
  it('mixed types, averaged weights beside the plain ones, and what training left behind', async () => {
    const dtype = (tensor: string): Dtype => (/norm/.test(tensor) ? 'F32' : /bias/.test(tensor) ? 'BF16' : 'F16')
    const extra: TinyTensors = new Map()
    for (const [key, tensor] of singleFileTensors('sd1'))
      if (key.startsWith('model.diffusion_model.'))
        extra.set(`model_ema.${key.slice('model.'.length).replaceAll('.', '')}`, {
          ...tensor,
          data: tensor.data.map(() => 9),
        })
    for (const name of ['betas', 'alphas_cumprod', 'model_ema.decay', 'logvar'])
      extra.set(name, { shape: [1], data: Float32Array.of(1) })
    extra.set('cond_stage_model.transformer.text_model.embeddings.position_ids', {
      shape: [1, 77],
      data: new Float32Array(77),
    })
    const byName = originalDtypes('sd1', dtype)
    const path = tinyFile(new Map([...withDtype(singleFileTensors('sd1'), (key) => byName.get(key)!), ...extra]))
    expectWeights(await openCheckpoint(path), 'sd1', dtype)
  })

  it('averaged weights alone', async () => {
    const tensors: TinyTensors = new Map()
    for (const [key, tensor] of singleFileTensors('sdxl'))
      tensors.set(
        key.startsWith('model.diffusion_model.') ? `model_ema.${key.slice('model.'.length).replaceAll('.', '')}` : key,
        tensor,
      )
    expectWeights(await openCheckpoint(tinyFile(tensors)), 'sdxl')
  })

  it('text encoders without text_model., VAEs behind vae., UNets by diffusers’ names', async () => {
    const tensors = new Map(
      [...singleFileTensors('sd1')]
        .filter(([key]) => !key.startsWith('model.'))
        .map(([key, tensor]) => [
          key.replace('.transformer.text_model.', '.transformer.').replace('first_stage_model.', 'vae.'),
          tensor,
        ]),
    )
    for (const [key, tensor] of tensorsOf('sd1-unet')) tensors.set(key, tensor)
    expectWeights(await openCheckpoint(tinyFile(tensors)), 'sd1')
  })

  it('Stable Diffusion 2 made from diffusers’ folder: without the unused layer', async () => {
    const tensors = new Map(
      [...singleFileTensors('sd2')].filter(([key]) => !/resblocks\.3\.|text_projection|logit_scale/.test(key)),
    )
    expectWeights(await openCheckpoint(tinyFile(tensors)), 'sd2')
  })
})

describe('how a model predicts', () => {
  const flag = (...names: string[]): TinyTensors =>
    new Map(names.map((name) => [name, { shape: [], data: new Float32Array(1) }]))
  const schedulerOf = async (name: string, extra: TinyTensors, metadata?: Record<string, string>) =>
    (await openCheckpoint(tinyFile(new Map([...singleFileTensors(name), ...extra]), metadata))).scheduler

  it('SDXL: its flags', async () => {
    expect(await schedulerOf('sdxl', flag('v_pred', 'ztsnr'))).toMatchObject({
      prediction_type: 'v_prediction',
      rescale_betas_zero_snr: true,
    })
    expect(await schedulerOf('sdxl', flag())).not.toHaveProperty('rescale_betas_zero_snr')
  })

  it('the training config beside the file, where AUTOMATIC1111 wants it', async () => {
    const path = tinyFile(singleFileTensors('sd1'))
    writeFileSync(join(dirname(path), 'model.yaml'), 'model:\n  params:\n    parameterization: "v"\n')
    const { scheduler, parts } = await openCheckpoint(path)
    expect(scheduler).toMatchObject({ prediction_type: 'v_prediction' })
    expect(parts.get('unet')!.config).toMatchObject({ sample_size: 64 })
  })

  it('the file’s own word counts before what its weights look like', async () => {
    const epsilon = { 'modelspec.prediction_type': 'epsilon' }
    expect(await schedulerOf('sd2-v', flag(), epsilon)).toMatchObject({ _class_name: 'PNDMScheduler' })
    const velocity = { 'modelspec.architecture': 'stable-diffusion-v2-768-v' }
    expect(await schedulerOf('sd2', flag(), velocity)).toMatchObject({ prediction_type: 'v_prediction' })
  })

  it.each(['edm_mean', 'edm_vpred.sigma_max'])('%s: schedules that are not there are said by name', async (name) => {
    await expect(schedulerOf('sdxl', flag(name))).rejects.toThrow(/EDM.*not a model that works here/)
  })
})

describe('how Stable Diffusion 2’s own checkpoints tell it', () => {
  it('by the step at which they were saved', () => {
    const { weights } = openWeightFile(tinyFile(singleFileTensors('sd2-v')))
    const typeAt = (step: string) =>
      identify({ weights, metadata: new Map([['global_step', step]]) }).unet?.prediction.type
    expect(typeAt('875000')).toBe('epsilon')
    expect(typeAt('110000')).toBe('v_prediction')
  })
})

describe('parts that are missing', () => {
  const without = (name: string, ...prefixes: string[]) =>
    tinyFile(
      new Map([...singleFileTensors(name)].filter(([key]) => !prefixes.some((prefix) => key.startsWith(prefix)))),
    )

  it.each([
    ['sd1', ['first_stage_model.'], 'lacks a VAE; give one as `vae` (SEEDLING_VAE).'],
    ['sd1', ['cond_stage_model.'], 'lacks a text encoder; give one as `textEncoder`.'],
    ['sdxl', ['conditioner.embedders.1.'], 'lacks a text encoder; give one as `textEncoder`.'],
    [
      'sdxl',
      ['conditioner.', 'first_stage_model.'],
      'lacks a VAE and 2 text encoders; give them as `vae` (SEEDLING_VAE) and `textEncoder`.',
    ],
  ] as const)('%s without %s', async (name, prefixes, sentence) => {
    const path = without(name, ...prefixes)
    await expect(openCheckpoint(path)).rejects.toMatchObject({ code: 'model', message: `${path} ${sentence}` })
  })

  it('come from files in any layout, or from diffusers’ folders', async () => {
    const unet = without('sdxl', 'first_stage_model.', 'conditioner.')
    const folder = tinyFolder('sdxl')
    const [vae, diffusersVae] = [tinyFile(originalTensorsOf('sdxl-vae', '')), tinyFile(tensorsOf('sdxl-vae'))]
    const [first, second] = [tinyFile(tensorsOf('sdxl-text')), tinyFile(tensorsOf('sdxl-text-2'))]
    const openClip = tinyFile(originalTensorsOf('sdxl-text-2', ''))
    for (const given of [
      { vae, textEncoder: [first, second] },
      { vae: diffusersVae, textEncoder: [openClip, first] },
      { vae: join(folder, 'vae'), textEncoder: [join(folder, 'text_encoder_2'), join(folder, 'text_encoder')] },
      { vae: folder, textEncoder: folder },
    ]) {
      const checkpoint = await openCheckpoint(unet, given)
      expectWeights(checkpoint, 'sdxl')
      expect(checkpoint.parts.get('text_encoder')!.config).toMatchObject({ hidden_act: 'quick_gelu' })
      expect(checkpoint.parts.get('vae')!.config).toMatchObject({ scaling_factor: 0.13025, force_upcast: true })
    }
  })

  it('a text encoder of another model is told by its width', async () => {
    const path = without('sd1', 'cond_stage_model.')
    const textEncoder = tinyFile(tensorsOf('sdxl-text'))
    await expect(openCheckpoint(path, { textEncoder })).rejects.toThrow(/width 48, where .* reads 40/)
  })

  it('a file that is something else is told by name', async () => {
    const path = without('sd1', 'first_stage_model.')
    const vae = tinyFile(new Map([['lora_unet_x.lora_down.weight', { shape: [1], data: new Float32Array(1) }]]))
    await expect(openCheckpoint(path, { vae })).rejects.toThrow(`${vae} is a LoRA, not a VAE; give a VAE as \`vae\`.`)
  })
})

describe('diffusers’ folders', () => {
  it.each(MODELS)('%s', async (name) => {
    const checkpoint = await openCheckpoint(tinyFolder(name))
    expectWeights(checkpoint, name)
    expect(checkpoint.index).toEqual(modelNamed(name).index)
    expect(checkpoint.scheduler).toEqual(modelNamed(name).scheduler)
    for (const [part, of] of Object.entries(modelNamed(name).parts))
      expect(checkpoint.parts.get(part as CheckpointPart)!.config).toEqual(partNamed(of).config)
  })

  it('in fp16, in shards, with the old names of the VAE', async () => {
    const folder = tinyFolder('sd1', { dtype: 'F16', variant: 'fp16', shards: 3, oldVaeNames: true })
    expectWeights(await openCheckpoint(folder, { variant: 'fp16' }), 'sd1', () => 'F16')
  })

  it('of early versions: Flax’ class, blocks by their first names, no number of heads', async () => {
    const folder = tinyFolder('sd1')
    const edit = (name: string, change: (config: Record<string, unknown>) => object) => {
      const path = join(folder, name)
      writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))))
    }
    edit('model_index.json', (index) => ({ ...index, _class_name: 'FlaxStableDiffusionPipeline' }))
    edit(join('unet', 'config.json'), ({ attention_head_dim, down_block_types, ...config }) => ({
      ...config,
      down_block_types: (down_block_types as string[]).map((name) => `UNetRes${name}`),
    }))
    const { parts } = await openCheckpoint(folder)
    expect(parts.get('unet')!.config).toMatchObject({ down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'] })
    const pipe = await StableDiffusionPipeline.fromPretrained(folder, ON_CPU)
    expect(pipe.modelInfo).toMatchObject({ family: 'stable-diffusion', task: 'text-to-image' })
    await pipe.release()
  })

  it('in bf16, with another VAE', async () => {
    const folder = tinyFolder('sdxl', { dtype: 'BF16' })
    const vae = tinyFile(withDtype(originalTensorsOf('sdxl-vae', 'first_stage_model.'), () => 'BF16'))
    expectWeights(await openCheckpoint(folder, { vae }), 'sdxl', () => 'BF16')
  })
})

describe('a ControlNet', () => {
  const config = withoutVersion(partNamed('sd1-controlnet').config)

  it.each([
    ['in the original layout', originalTensorsOf('sd1-controlnet', 'control_model.')],
    ['without its prefix', originalTensorsOf('sd1-controlnet', '')],
    ['in diffusers’', tensorsOf('sd1-controlnet')],
  ])('%s', async (_layout, tensors) => {
    const controlnet = await openControlNet(tinyFile(tensors))
    expect(controlnet.config).toMatchObject(config)
    const expected = tensorsOf('sd1-controlnet')
    expect([...controlnet.weights.names()].sort()).toEqual([...expected.keys()].sort())
    for (const [name, { data }] of expected)
      expect(Buffer.compare(bytesAt(controlnet.weights.get(name)!), bytesOf(data, 'F32')), name).toBe(0)
  })
})

/** By names in the single file, from a rule for diffusers' names. */
function originalDtypes(name: string, dtype: (tensor: string) => Dtype): Map<string, Dtype> {
  const { parts } = modelNamed(name)
  const prefixes: Record<string, string> = {
    unet: 'model.diffusion_model.',
    vae: 'first_stage_model.',
    text_encoder: 'cond_stage_model.transformer.',
  }
  return new Map(
    Object.entries(parts).flatMap(([part, of]) =>
      partNamed(of).tensors.map(([tensor, , , , original]) => [prefixes[part] + original, dtype(tensor)] as const),
    ),
  )
}
