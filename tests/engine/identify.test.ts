/** What a file of weights is: told by its names and shapes, whatever they are. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/index.ts'
import { describeFile } from '../../src/engine/weights/describe-file.ts'
import { identify } from '../../src/engine/weights/identify.ts'
import { openCheckpoint } from '../../src/engine/weights/open-checkpoint.ts'
import { weightsOf } from '../../src/engine/weights/tensor-map.ts'
import { openWeightFile } from '../../src/engine/weights/weight-file.ts'
import {
  originalTensorsOf,
  setWords,
  singleFileTensors,
  type TinyTensors,
  tensorsOf,
  tinyFile,
  withDtype,
} from './tiny-checkpoint.ts'

setWords(600)

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

  it.each([
    ['levels', (i: number) => `up_blocks.${i}.resnets.${i}.conv1.weight`],
    ['attentions', (i: number) => `down_blocks.${i % 300}.attentions.${i % 299}.transformer_blocks.${i}.norm1.bias`],
    ['downsamplings', (i: number) => `input_blocks.${i}.0.op.weight`],
    ['layers', (i: number) => `text_model.encoder.layers.${i}.mlp.fc1.weight`],
  ])('%s without end are not counted to the end', (_what, nameOf) => {
    const tensor = weights.get(names[0]!)!
    const first = ['up_blocks.0.resnets.0.conv1.weight', 'conv_in.weight', 'input_blocks.0.0.weight']
    const tensors = new Map([...first, ...Array.from({ length: 45_000 }, (_, i) => nameOf(i))].map((n) => [n, tensor]))
    expect(identify({ weights: weightsOf(tensors), metadata }).title).not.toBe('')
    for (let i = 0; i < 5000; i++) tensors.set(`more.${i}`, tensor)
    expect(identify({ weights: weightsOf(tensors), metadata }).kind).toBe('other')
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
