/** The timestep, and for SDXL the pooled text and the sizes, as one vector a row. */

import { int } from '../attributes.ts'
import { DataType } from '../onnx-schema.ts'
import type { Layers } from './layers.ts'
import type { TimeConfig } from './unet-config.ts'

/** Takes the inputs that it needs. @returns [batch, config.width], activated as every resnet wants it */
export function timeEmbedding(layers: Layers, config: TimeConfig): string {
  const { graph } = layers
  const timestep = graph.input('timestep', ['batch_size'], DataType.FLOAT)
  let projected = sinusoids(layers, timestep, config.inputWidth, config)
  if (config.condProjDim !== undefined) {
    const cond = graph.input('timestep_cond', ['batch_size', config.condProjDim])
    const added = layers.linear(cond, 'time_embedding.cond_proj', config.condProjDim, config.inputWidth, false)
    projected = layers.add(projected, added)
  }
  const embedded = mlp(layers, projected, 'time_embedding', config.inputWidth, config.width)
  const additional = config.textTime && textTimeEmbedding(layers, config, config.textTime)
  return layers.silu(additional === undefined ? embedded : layers.add(embedded, additional))
}

function textTimeEmbedding(
  layers: Layers,
  config: TimeConfig,
  { inputWidth, timeWidth }: { inputWidth: number; timeWidth: number },
): string {
  const { graph } = layers
  const text = graph.input('text_embeds', ['batch_size', 'text_embeds_dim'])
  const ids = graph.input('time_ids', ['batch_size', 'time_ids_dim'], DataType.FLOAT)
  const each = sinusoids(layers, graph.op('Reshape', [ids, graph.ints(-1)]), timeWidth, config)
  const rows = graph.op('Concat', [layers.batch, graph.ints(-1)], [int('axis', 0)])
  const times = graph.op('Reshape', [each, rows])
  const both = graph.op('Concat', [text, times], [int('axis', 1)])
  return mlp(layers, both, 'add_embedding', inputWidth, config.width)
}

/** diffusers' TimestepEmbedding. */
function mlp(layers: Layers, x: string, name: string, inputs: number, outputs: number): string {
  const hidden = layers.silu(layers.linear(x, `${name}.linear_1`, inputs, outputs))
  return layers.linear(hidden, `${name}.linear_2`, outputs, outputs)
}

/**
 * diffusers' `get_timestep_embedding`, in float32 until it is done, as there.
 * @param values [n] of float32
 * @returns [n, width] of the activations' type
 */
function sinusoids(layers: Layers, values: string, width: number, { flipSinToCos, freqShift }: TimeConfig): string {
  const { graph } = layers
  const half = width / 2
  // Rounded at the same places as torch does: a timestep of 999 multiplies a frequency's last bit.
  const frequencies = Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(Math.fround(-Math.log(10000)) * i) / Math.fround(half - freqShift))),
  )
  const table = graph.floats(`frequencies(${width})`, frequencies, [1, half])
  const angles = layers.mul(graph.op('Unsqueeze', [values, graph.ints(1)]), table)
  const [sine, cosine] = [graph.op('Sin', [angles]), graph.op('Cos', [angles])]
  const joined = graph.op('Concat', flipSinToCos ? [cosine, sine] : [sine, cosine], [int('axis', 1)])
  return graph.type === DataType.FLOAT ? joined : graph.cast(joined, graph.type)
}
