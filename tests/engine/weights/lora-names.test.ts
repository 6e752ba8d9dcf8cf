import { describe, expect, it } from 'vitest'
import { modulesByName, splitKey } from '../../../src/engine/weights/lora-names.ts'
import { originalUNet } from '../../../src/engine/weights/original-unet.ts'
import { weightsOf } from '../../../src/engine/weights/tensor-map.ts'
import { readCase } from '../written-graphs.ts'

/** The modules of a written UNet that have a matrix or a kernel. */
function modulesOf(name: string): string[] {
  return Object.entries(readCase(name).weights)
    .filter(([weight, shape]) => weight.endsWith('.weight') && shape.length > 1)
    .map(([weight]) => weight.slice(0, -'.weight'.length))
}

/** SDXL's own, but for layers that these tests do not name. */
function modulesOfSdxl(): string[] {
  const resnet = ['conv1', 'time_emb_proj', 'conv2', 'conv_shortcut']
  const attention = (blocks: number) => [
    'proj_in',
    'proj_out',
    ...Array.from({ length: blocks }, (_, i) =>
      ['attn1.to_q', 'attn1.to_out.0', 'attn2.to_out.0', 'ff.net.0.proj'].map(
        (layer) => `transformer_blocks.${i}.${layer}`,
      ),
    ).flat(),
  ]
  const level = (block: string, resnets: number, blocks: number) =>
    Array.from({ length: resnets }, (_, i) => [
      ...resnet.map((layer) => `${block}.resnets.${i}.${layer}`),
      ...(blocks > 0 ? attention(blocks).map((layer) => `${block}.attentions.${i}.${layer}`) : []),
    ]).flat()
  return [
    'conv_in',
    'conv_out',
    ...['time_embedding', 'add_embedding'].flatMap((name) => [`${name}.linear_1`, `${name}.linear_2`]),
    ...[0, 2, 10].flatMap((blocks, i) => level(`down_blocks.${i}`, 2, blocks)),
    ...[0, 1].map((i) => `down_blocks.${i}.downsamplers.0.conv`),
    ...level('mid_block', 2, 10).filter((name) => !name.includes('attentions.1')),
    ...[10, 2, 0].flatMap((blocks, i) => level(`up_blocks.${i}`, 3, blocks)),
    ...[0, 1].map((i) => `up_blocks.${i}.upsamplers.0.conv`),
  ]
}

function find(modules: readonly string[], key: string): string | undefined {
  const { part, module } = splitKey(key)
  return modulesByName(part, modules).get(module)
}

describe('names in LoRA files', () => {
  const xl = modulesOfSdxl()
  it.each([
    [
      'lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q',
      'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q',
    ],
    [
      'lora_unet_input_blocks_8_1_transformer_blocks_2_ff_net_0_proj',
      'down_blocks.2.attentions.1.transformer_blocks.2.ff.net.0.proj',
    ],
    ['lora_unet_input_blocks_3_0_op', 'down_blocks.0.downsamplers.0.conv'],
    ['lora_unet_middle_block_1_proj_in', 'mid_block.attentions.0.proj_in'],
    ['lora_unet_middle_block_2_out_layers_3', 'mid_block.resnets.1.conv2'],
    [
      'lora_unet_output_blocks_2_1_transformer_blocks_0_attn2_to_out_0',
      'up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0',
    ],
    ['lora_unet_output_blocks_2_2_conv', 'up_blocks.0.upsamplers.0.conv'],
    ['lora_unet_output_blocks_6_0_in_layers_2', 'up_blocks.2.resnets.0.conv1'],
    ['lora_unet_output_blocks_8_0_skip_connection', 'up_blocks.2.resnets.2.conv_shortcut'],
    ['lora_unet_time_embed_0', 'time_embedding.linear_1'],
    ['lora_unet_label_emb_0_2', 'add_embedding.linear_2'],
    ['lora_unet_input_blocks_0_0', 'conv_in'],
    ['lora_unet_out_2', 'conv_out'],
    ['diffusion_model.middle_block.1.proj_out', 'mid_block.attentions.0.proj_out'],
    [
      'unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out',
      'mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0',
    ],
    [
      'mid_block.attentions.0.transformer_blocks.0.attn1.to_q',
      'mid_block.attentions.0.transformer_blocks.0.attn1.to_q',
    ],
    ['base_model.model.unet.conv_in', 'conv_in'],
    ['lora_unet_input_blocks_9_1_proj_in', undefined],
  ])('%s', (key, module) => {
    expect(find(xl, key)).toBe(module)
  })

  const text = [
    'text_model.encoder.layers.1.self_attn.q_proj',
    'text_model.encoder.layers.1.self_attn.out_proj',
    'text_projection',
  ]
  it.each([
    ['lora_te_text_model_encoder_layers_1_self_attn_q_proj', text[0]],
    ['lora_te1_text_model_encoder_layers_1_self_attn_out_proj', text[1]],
    ['text_encoder.text_model.encoder.layers.1.self_attn.to_q', text[0]],
    ['text_encoder_2.text_model.encoder.layers.1.self_attn.to_out', text[1]],
    ['text_model.encoder.layers.1.self_attn.q_proj', text[0]],
    ['lora_te2_text_projection', text[2]],
  ])('%s', (key, module) => {
    expect(find(text, key)).toBe(module)
    // Exporters leave out what a model is wrapped in, or wrap it in something of their own.
    const wrapped = text.map((name) => `mod.${name.replace('text_model.', '')}`)
    expect(find(wrapped, key)).toBe(module && `mod.${module.replace('text_model.', '')}`)
  })

  it.each(['sd1', 'sd2', 'sdxl', 'ssd', 'vega', 'lcm', 'inpainting'])(
    'all of a %s’s layers have names of diffusers and of the original, and these agree with its checkpoints’',
    (family) => {
      const modules = modulesOf(`unet-${family}`)
      const byName = modulesByName('unet', modules)
      for (const module of modules) expect(byName.get(module.replaceAll('.', '_'))).toBe(module)
      const originals = [...byName].filter(([name]) =>
        /^(?:input|middle|output)_block|^(?:time_embed_\d|label_emb|out_2)/.test(name),
      )
      const stored = { path: '', dtype: 'F32', shape: [1], offset: 0, length: 4 } as const
      // In a checkpoint the names still have their dots.
      const dotted = (name: string) => `${name.replace(/_(?=\d)|(?<=\d)_/g, '.').replace('out.2', 'out.2')}.weight`
      const file = weightsOf(new Map(originals.map(([name]) => [dotted(name), stored])))
      const known = new Set([...originalUNet(file, '').names()].map((name) => name.slice(0, -'.weight'.length)))
      const resnets = modules.filter((name) => /resnets\.\d+\.conv\d$|samplers/.test(name))
      expect(resnets.filter((name) => !known.has(name))).toEqual([])
    },
  )
})
