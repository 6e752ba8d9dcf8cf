/** A ControlNet (Zhang et al. 2023): what a picture's edges, depth or pose add to a UNet. */

import type { Config } from '../config-file.ts'
import { concatRows, rowsOf, type Tensor } from '../tensor.ts'
import type { OnnxRuntimeModel } from './onnx-runtime-model.ts'
import type { Conditioning, ControlNetResiduals } from './unet.ts'

const DOWN = 'down_block_res_samples.'
const MID = 'mid_block_res_sample'

export class ControlNetModel {
  readonly model: OnnxRuntimeModel
  /** Its outputs are means over the picture; such ControlNets are always in guess mode, without its scales. */
  readonly globalPoolConditions: boolean
  readonly #outputs: readonly string[]

  /** @param config `controlnet/config.json`. */
  constructor(model: OnnxRuntimeModel, config: Config) {
    this.model = model
    this.globalPoolConditions = config.global_pool_conditions === true
    const down = [...model.outputs.keys()].filter((name) => name.startsWith(DOWN))
    this.#outputs = [...down.map((_, i) => `${DOWN}${i}`), MID]
  }

  /**
   * @param sample `[rows, latentChannels, h, w]`, as the UNet sees it.
   * @param controlnetCond `[rows, 3, H, W]` in 0..1, H and W eight times the latents'.
   * @param guessMode Earlier outputs count less, from a tenth on, as diffusers' `guess_mode` has it.
   * @throws EngineError
   */
  async forward(
    sample: Tensor,
    timestep: number,
    conditioning: Conditioning,
    controlnetCond: Tensor,
    conditioningScale: number,
    guessMode: boolean,
  ): Promise<ControlNetResiduals> {
    const rows = sample.dims[0]!
    const feeds = {
      sample,
      timestep: { data: new Float32Array(rows).fill(timestep), dims: [rows] },
      encoder_hidden_states: conditioning.encoderHiddenStates,
      timestep_cond: conditioning.timestepCond,
      text_embeds: conditioning.textEmbeds,
      time_ids: conditioning.timeIds,
      controlnet_cond: controlnetCond,
      conditioning_scale: this.#scales(conditioningScale, guessMode && !this.globalPoolConditions),
    }
    const samples = await this.model.run(feeds, this.#outputs)
    return { downBlockResSamples: samples.slice(0, -1), midBlockResSample: samples.at(-1)! }
  }

  /** `torch.logspace(-1, 0, n)` where the earlier outputs count less. */
  #scales(conditioningScale: number, rising: boolean): Tensor {
    const count = this.#outputs.length
    const scale = (i: number) => (rising ? Math.fround(10 ** (i / (count - 1) - 1)) : 1) * conditioningScale
    return { data: Float32Array.from({ length: count }, (_, i) => scale(i)), dims: [count] }
  }
}

/** What several ControlNets add together. */
export function sumOfResiduals(all: readonly ControlNetResiduals[]): ControlNetResiduals {
  return all.reduce((sum, one) => zip(sum, one, add))
}

/** The same for a batch whose first rows no ControlNet changes. @param rows How many those are. */
export function behindZeros(residuals: ControlNetResiduals, rows: number): ControlNetResiduals {
  return map(residuals, (sample) => {
    const dims = [rows, ...sample.dims.slice(1)]
    return concatRows([{ data: new Float32Array(dims.reduce((product, dim) => product * dim, 1)), dims }, sample])
  })
}

/** One row's part of them. */
export function residualsOfRow(residuals: ControlNetResiduals, row: number): ControlNetResiduals {
  return map(residuals, (sample) => rowsOf(sample)[row]!)
}

/** Those of one row after another as a batch's. */
export function concatResiduals(rows: readonly ControlNetResiduals[]): ControlNetResiduals {
  return {
    downBlockResSamples: rows[0]!.downBlockResSamples.map((_, i) =>
      concatRows(rows.map(({ downBlockResSamples }) => downBlockResSamples[i]!)),
    ),
    midBlockResSample: concatRows(rows.map(({ midBlockResSample }) => midBlockResSample)),
  }
}

function add({ data, dims }: Tensor, other: Tensor): Tensor {
  return { data: data.map((value, i) => value + other.data[i]!), dims }
}

function map(residuals: ControlNetResiduals, change: (sample: Tensor) => Tensor): ControlNetResiduals {
  return {
    downBlockResSamples: residuals.downBlockResSamples.map(change),
    midBlockResSample: change(residuals.midBlockResSample),
  }
}

function zip(
  a: ControlNetResiduals,
  b: ControlNetResiduals,
  join: (x: Tensor, y: Tensor) => Tensor,
): ControlNetResiduals {
  return {
    downBlockResSamples: a.downBlockResSamples.map((sample, i) => join(sample, b.downBlockResSamples[i]!)),
    midBlockResSample: join(a.midBlockResSample, b.midBlockResSample),
  }
}
