/** diffusers' ResnetBlock2D, of UNets and autoencoders. */

import type { Layers } from './layers.ts'

export interface ResnetShape {
  readonly inputs: number
  readonly outputs: number
  readonly groups: number
  readonly epsilon: number
  /** The embedded timestep, activated: [batch, width]. Autoencoders have none. */
  readonly time?: { readonly value: string; readonly width: number }
}

/** @param x [batch, inputs, height, width] */
export function resnet(layers: Layers, x: string, name: string, shape: ResnetShape): string {
  const { inputs, outputs, groups, epsilon, time } = shape
  const activated = (value: string, norm: string, channels: number) =>
    layers.silu(layers.groupNorm(value, `${name}.${norm}`, channels, groups, epsilon))
  let hidden = layers.conv(activated(x, 'norm1', inputs), `${name}.conv1`, { inputs, outputs })
  if (time) {
    const projected = layers.linear(time.value, `${name}.time_emb_proj`, time.width, outputs)
    hidden = layers.add(hidden, layers.graph.op('Unsqueeze', [projected, layers.graph.ints(2, 3)]))
  }
  hidden = layers.conv(activated(hidden, 'norm2', outputs), `${name}.conv2`, { inputs: outputs, outputs })
  const residual = inputs === outputs ? x : layers.conv(x, `${name}.conv_shortcut`, { inputs, outputs, kernel: 1 })
  return layers.add(residual, hidden)
}
