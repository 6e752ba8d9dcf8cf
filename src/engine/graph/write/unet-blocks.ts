/** The blocks of a UNet; a ControlNet has the same way down. */

import type { Layers } from './layers.ts'
import { resnet } from './resnet.ts'
import { transformer2D } from './transformer.ts'
import type { TransformerLayers, UNetConfig } from './unet-config.ts'

/** A value [batch, channels, height, width] of the way down, which the way up takes again. */
export interface Skip {
  readonly value: string
  readonly channels: number
}

export class UNetBlocks {
  readonly #layers: Layers
  readonly #config: UNetConfig
  readonly #time: { readonly value: string; readonly width: number }
  readonly #context: string

  /**
   * @param time [batch, config.time.width], activated.
   * @param context [batch, tokens, width]
   */
  constructor(layers: Layers, config: UNetConfig, time: string, context: string) {
    this.#layers = layers
    this.#config = config
    this.#time = { value: time, width: config.time.width }
    this.#context = layers.flat(context, config.levels[0]!.contextWidth)
  }

  /** The way down. @param x What `conv_in` gave. @returns All that is kept for the way up; the last goes into the middle. */
  down(x: string): Skip[] {
    const { levels, down } = this.#config
    const skips: Skip[] = [{ value: x, channels: levels[0]!.channels }]
    levels.forEach(({ channels, resnets }, level) => {
      const name = `down_blocks.${level}`
      for (let i = 0; i < resnets; i++) {
        const last = skips.at(-1)!
        const value = this.#resnet(last.value, `${name}.resnets.${i}`, last.channels, channels)
        skips.push({ value: this.#transformer(value, `${name}.attentions.${i}`, level, down[level]?.[i]), channels })
      }
      if (level === levels.length - 1) return
      const shape = { inputs: channels, outputs: channels, stride: 2 }
      const value = this.#layers.conv(skips.at(-1)!.value, `${name}.downsamplers.0.conv`, shape)
      skips.push({ value, channels })
    })
    return skips
  }

  mid(x: string): string {
    const { levels, mid } = this.#config
    if (!mid) return x
    const { channels } = levels.at(-1)!
    const first = this.#resnet(x, 'mid_block.resnets.0', channels, channels)
    // diffusers' UNetMidBlock2D is made without attention and without a second resnet.
    if (!mid.transformerLayers) return first
    const attended = this.#transformer(
      first,
      'mid_block.attentions.0',
      levels.length - 1,
      mid.transformerLayers[0],
      false,
    )
    return this.#resnet(attended, 'mid_block.resnets.1', channels, channels)
  }

  /** @param up What stands behind each resnet of each block of the way up, the deepest first. */
  up(x: string, skips: readonly Skip[], up: readonly TransformerLayers[]): string {
    const { levels } = this.#config
    const rest = [...skips]
    let hidden = { value: x, channels: levels.at(-1)!.channels }
    up.forEach((transformers, block) => {
      const level = levels.length - 1 - block
      const { channels, resnets } = levels[level]!
      const name = `up_blocks.${block}`
      for (let i = 0; i < resnets + 1; i++) {
        const skip = rest.pop()!
        const value = this.#resnet(
          this.#layers.join(hidden.value, skip.value),
          `${name}.resnets.${i}`,
          hidden.channels + skip.channels,
          channels,
        )
        hidden = { value: this.#transformer(value, `${name}.attentions.${i}`, level, transformers?.[i]), channels }
      }
      if (level > 0) hidden = { value: this.#upsample(hidden.value, name, channels, rest.at(-1)!.value), channels }
    })
    return hidden.value
  }

  /** To the next skip's size, which is not twice as much where the size was odd on the way down. */
  #upsample(x: string, name: string, channels: number, skip: string): string {
    const larger = this.#layers.upsample(x, skip)
    return this.#layers.conv(larger, `${name}.upsamplers.0.conv`, { inputs: channels, outputs: channels })
  }

  #resnet(x: string, name: string, inputs: number, outputs: number): string {
    const { groups, epsilon } = this.#config
    return resnet(this.#layers, x, name, { inputs, outputs, groups, epsilon, time: this.#time })
  }

  /** @param layers Nothing for blocks without attention. */
  #transformer(
    x: string,
    name: string,
    level: number,
    layers: number | undefined,
    onlyCrossAttention = this.#config.levels[level]!.onlyCrossAttention,
  ): string {
    if (layers === undefined) return x
    const { groups, linearProjection, upcastAttention } = this.#config
    const { channels, heads, contextWidth } = this.#config.levels[level]!
    const shape = {
      channels,
      heads,
      layers,
      contextWidth,
      onlyCrossAttention,
      groups,
      linearProjection,
      upcastAttention,
    }
    return transformer2D(this.#layers, x, this.#context, name, shape)
  }
}
