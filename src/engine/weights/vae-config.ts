/** The `config.json` of a VAE as its weights' shapes have it. */

import type { Config } from '../config-file.ts'
import { Shapes } from './shapes.ts'
import type { Weights } from './stored-tensor.ts'

/**
 * @param weights By diffusers' names.
 * @returns diffusers' keys; `scaling_factor`, `force_upcast` and `sample_size` are the family's to add.
 */
export function vaeConfig(weights: Weights): Config {
  const shapes = new Shapes(weights)
  const levels = shapes.count('decoder.up_blocks')
  const channels = Array.from({ length: levels }, (_, i) =>
    shapes.size(`decoder.up_blocks.${levels - 1 - i}.resnets.0.conv1.weight`, 0),
  )
  return {
    _class_name: 'AutoencoderKL',
    in_channels: shapes.size('encoder.conv_in.weight', 1) || 3,
    out_channels: shapes.size('decoder.conv_out.weight', 0),
    latent_channels: shapes.size('decoder.conv_in.weight', 1),
    block_out_channels: channels,
    down_block_types: channels.map(() => 'DownEncoderBlock2D'),
    up_block_types: channels.map(() => 'UpDecoderBlock2D'),
    // The decoder has one more.
    layers_per_block: shapes.count('decoder.up_blocks.0.resnets') - 1,
    mid_block_add_attention: shapes.has('decoder.mid_block.attentions'),
    use_quant_conv: shapes.has('quant_conv'),
    use_post_quant_conv: shapes.has('post_quant_conv'),
    act_fn: 'silu',
    norm_num_groups: 32,
  }
}
