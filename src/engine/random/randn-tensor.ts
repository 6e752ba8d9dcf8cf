/** Noise for a batch of latents, as diffusers' `randn_tensor` (`utils/torch_utils.py`) draws it. */

import { randomInt } from 'node:crypto'
import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { Generator, type Generators } from './generator.ts'

/**
 * One generator draws the whole tensor; a list draws row by row, so that a row never depends on its neighbours; without
 * any the noise is unseeded.
 *
 * @param dims The batch first.
 * @throws EngineError 'argument' when a list of several generators has not one for each row.
 */
export function randnTensor(dims: readonly number[], generators?: Generators): Tensor {
  if (generators === undefined) return new Generator(randomInt(2 ** 32)).randn(dims)
  if (generators instanceof Generator) return generators.randn(dims)
  if (generators.length === 1) return generators[0]!.randn(dims)

  const [batch = 0, ...row] = dims
  if (generators.length !== batch)
    throw new EngineError('argument', `A batch of ${batch} needs one generator or ${batch}, not ${generators.length}.`)
  const rowSize = row.reduce((product, dim) => product * dim, 1)
  const data = new Float32Array(batch * rowSize)
  generators.forEach((generator, i) => {
    data.set(generator.randn([1, ...row]).data, i * rowSize)
  })
  return { data, dims }
}
