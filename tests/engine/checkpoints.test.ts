/** Checkpoints: what a file or a folder holds is found out from it, and every weight is the one that diffusers would load. */

import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  EngineError,
  type SchedulerConfig,
  StableDiffusionPipeline,
  schedulerFromConfig,
} from '../../src/engine/index.ts'
import { type Checkpoint, type CheckpointPart, openCheckpoint } from '../../src/engine/weights/checkpoint.ts'
import { openControlNet } from '../../src/engine/weights/controlnet-weights.ts'
import { describeFile } from '../../src/engine/weights/describe-file.ts'
import { identify } from '../../src/engine/weights/identify.ts'
import type { StoredTensor } from '../../src/engine/weights/stored-tensor.ts'
import { weightsOf } from '../../src/engine/weights/tensor-map.ts'
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

describe('describeFile', () => {
  it.each([
    ['sd1', 'Stable Diffusion 1', 'stable-diffusion', 'text-to-image'],
    ['sd1-inpaint', 'Stable Diffusion 1 for inpainting', 'stable-diffusion', 'inpaint'],
    ['lcm', 'Latent Consistency Model', 'latent-consistency', 'text-to-image'],
    ['sd2-v', 'Stable Diffusion 2', 'stable-diffusion', 'text-to-image'],
    ['ssd-1b', 'Stable Diffusion XL', 'stable-diffusion-xl', 'text-to-image'],
    ['refiner', 'Stable Diffusion XL Refiner', 'stable-diffusion-xl', 'image-to-image'],
  ] as const)('%s', (name, title, family, task) => {
    const tensors = withDtype(singleFileTensors(name), (key) => (key.startsWith('model.') ? 'F16' : 'F32'))
    const parameters = [...tensors.values()].reduce((sum, { data }) => sum + data.length, 0)
    const description = describeFile(tinyFile(tensors))
    expect(description).toMatchObject({ kind: 'model', title, family, task, parameters, missing: [] })
    expect([...description.dtypes].sort()).toEqual(['F16', 'F32'])
  })

  it('says what a UNet alone needs', () => {
    expect(describeFile(tinyFile(tensorsOf('sdxl-unet')))).toMatchObject({
      kind: 'unet',
      missing: ['VAE', 'text encoders'],
    })
  })

  const one = (...names: string[]): TinyTensors =>
    new Map(names.map((name) => [name, { shape: [4, 4], data: new Float32Array(16) }]))

  it.each([
    ['a VAE', 'vae', originalTensorsOf('sd-vae', '')],
    ['a VAE', 'vae', originalTensorsOf('sd-vae', 'first_stage_model.')],
    ['a VAE', 'vae', tensorsOf('sd-vae')],
    ['a text encoder of CLIP', 'text-encoder', tensorsOf('sd1-text')],
    ['a text encoder of CLIP', 'text-encoder', originalTensorsOf('sdxl-text-2', '')],
    ['a ControlNet for Stable Diffusion 1', 'controlnet', tensorsOf('sd1-controlnet')],
    ['a LoRA', 'lora', one('lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight')],
    ['a LoRA', 'lora', one('unet.down_blocks.0.attentions.0.proj_in.lora_A.weight')],
    ['a LoRA', 'lora', one('lora_unet_input_blocks_4_1_proj_in.hada_w1_a')],
    ['an embedding (textual inversion)', 'embedding', one('emb_params')],
    ['an embedding (textual inversion)', 'embedding', one('clip_l', 'clip_g')],
    ['an embedding (textual inversion)', 'embedding', one('<cat-toy>')],
    ['a LoRA', 'lora', one('lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight')],
    ['a LoRA', 'lora', one('text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.up.weight')],
    ['a LoRA', 'lora', one('lora_unet_mid_block_attentions_0_proj_in.lokr_w1')],
    ['a Control-LoRA', 'other', one('lora_controlnet', 'input_blocks.1.0.in_layers.2.up')],
    ['an IP-Adapter', 'other', one('image_proj.proj.weight', 'ip_adapter.1.to_k_ip.weight')],
    ['a T2I-Adapter', 'other', one('adapter.body.0.resnets.0.block1.weight')],
    ['a motion module of AnimateDiff', 'other', one('down_blocks.0.motion_modules.0.temporal_transformer.norm.weight')],
    ['an upscaler of pictures', 'other', one('model.1.sub.0.RDB1.conv1.0.weight')],
    ['Stable Diffusion 3', 'other', one('model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight')],
    [
      'a checkpoint of 8-bit numbers with scales',
      'other',
      one('model.diffusion_model.input_blocks.1.1.proj_in.scale_weight', 'model.diffusion_model.scaled_fp8'),
    ],
    [
      'a checkpoint quantised to 4 bits',
      'other',
      one('down_blocks.0.attentions.0.proj_in.weight.quant_state.bitsandbytes__nf4'),
    ],
    ['Stable Video Diffusion', 'other', one('model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight')],
    ['Stable Cascade', 'other', one('clip_txt_mapper.weight')],
    ['the Stable Diffusion x4 Upscaler', 'other', one('model.diffusion_model.label_emb.weight')],
    ['T5, a text encoder of other models', 'other', one('encoder.block.0.layer.0.SelfAttention.q.weight')],
    ['FLUX', 'other', one('double_blocks.0.img_attn.norm.key_norm.scale')],
    ['Wan', 'other', one('model.diffusion_model.head.modulation')],
    ['PixArt', 'other', one('adaln_single.linear.weight')],
    ['a file of unknown weights', 'other', one('fc1.weight')],
  ] as const)('%s', (title, kind, tensors) => {
    expect(describeFile(tinyFile(tensors))).toMatchObject({
      kind,
      title,
      missing: kind === 'vae' ? [] : expect.any(Array),
    })
  })
})

describe('a file that is no model', () => {
  it.each([
    ['sd-vae', 'is a VAE, not a model; give the model, and this file as `vae` (SEEDLING_VAE).'],
    ['sd1-text', 'is a text encoder of CLIP, not a model; give the model, and this file as `textEncoder`.'],
    [
      'sd1-controlnet',
      'is a ControlNet for Stable Diffusion 1, not a model; give the model, and this file as `controlnet`.',
    ],
  ])('%s', async (part, sentence) => {
    const path = tinyFile(tensorsOf(part))
    await expect(openCheckpoint(path)).rejects.toMatchObject({ code: 'model', message: `${path} ${sentence}` })
  })

  it('UNets that take other inputs are told by their channels', async () => {
    const tensors = singleFileTensors('sd1')
    const conv = 'model.diffusion_model.input_blocks.0.0.weight'
    tensors.set(conv, { shape: [32, 8, 3, 3], data: new Float32Array(32 * 8 * 9) })
    await expect(openCheckpoint(tinyFile(tensors))).rejects.toThrow(
      /is an InstructPix2Pix model of Stable Diffusion 1, not a model that works here/,
    )
  })
})

describe('files that lie about what they are', () => {
  const { weights, metadata } = openWeightFile(tinyFile(singleFileTensors('sd1')))
  const names = [...weights.names()]

  /** As a reader gives them: some tensors gone, others renamed or of other shapes. */
  const mutated = fc
    .array(
      fc.record({
        index: fc.nat(names.length - 1),
        name: fc.option(
          fc.constantFrom(...names, 'down_blocks.99999999999.x', 'model.diffusion_model.input_blocks.1e9.0.op.weight'),
        ),
        shape: fc.option(fc.array(fc.nat(9), { maxLength: 5 })),
      }),
      { maxLength: 12 },
    )
    .map((changes) => {
      const tensors = new Map(names.map((name) => [name, weights.get(name)!]))
      for (const { index, name, shape } of changes) {
        const own = names[index]!
        const tensor = tensors.get(own)
        tensors.delete(own)
        if (tensor && name !== null) tensors.set(name, shape === null ? tensor : { ...tensor, shape })
      }
      return tensors
    })

  it('are identified, or refused with a sentence', () => {
    fc.assert(
      fc.property(mutated, (tensors) => {
        try {
          const { kind, unet, title } = identify({ weights: weightsOf(tensors), metadata })
          expect(title).not.toBe('')
          expect(unet === undefined).toBe(kind !== 'model' && kind !== 'unet')
          for (const part of [unet, ...identify({ weights: weightsOf(tensors), metadata }).parts.textEncoders])
            for (const name of part?.weights.names() ?? []) part!.weights.get(name)
        } catch (error) {
          expect(error).toBeInstanceOf(EngineError)
        }
      }),
      { numRuns: 200 },
    )
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
