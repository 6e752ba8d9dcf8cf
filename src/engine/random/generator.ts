/** Seeds that give torch's noise: `new Generator(seed)` draws what `torch.Generator().manual_seed(seed)` draws. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { boxMuller16 } from './box-muller.ts'
import { Mt19937 } from './mt19937.ts'
import { philoxNormal } from './philox.ts'

export interface GeneratorOptions {
  /** 'cpu' = torch's mt19937 (default); 'cuda' = the philox stream of CUDA and AUTOMATIC1111. */
  device?: 'cpu' | 'cuda'
}

/** One generator for the whole batch, or one an image. */
export type Generators = Generator | readonly Generator[]

/** A stream of standard normal numbers; a second draw continues it. */
export class Generator {
  readonly device: 'cpu' | 'cuda'
  /** The seed as torch reports it (`initial_seed`): 64 bits, unsigned. */
  readonly initialSeed: bigint
  readonly #draw: (n: number) => Float32Array

  /**
   * @param seed A whole number from -2^63 to 2^64 - 1, a bigint past 2^53; on 'cpu' only its low 32 bits count, as in torch.
   * @throws EngineError 'argument' when the seed is no such number.
   */
  constructor(seed: number | bigint, options: GeneratorOptions = {}) {
    this.device = options.device ?? 'cpu'
    this.initialSeed = unsigned64(seed)
    this.#draw = this.device === 'cuda' ? cudaStream(this.initialSeed) : cpuStream(this.initialSeed)
  }

  /** Standard normal numbers, as `torch.randn(dims, generator=…)` draws them in float32. */
  randn(dims: readonly number[]): Tensor {
    const n = dims.reduce((product, dim) => product * dim, 1)
    return { data: this.#draw(n), dims }
  }
}

function unsigned64(seed: number | bigint): bigint {
  const exact = typeof seed === 'bigint' || Number.isSafeInteger(seed)
  const value = exact ? BigInt(seed) : undefined
  if (value === undefined || value < -(2n ** 63n) || value >= 2n ** 64n)
    throw new EngineError(
      'argument',
      `The seed ${seed} must be a whole number from -2^63 to 2^64 - 1 (a bigint past 2^53).`,
    )
  return BigInt.asUintN(64, value)
}

function cudaStream(seed: bigint): (n: number) => Float32Array {
  let draws = 0
  return (n) => philoxNormal(seed, draws++, n)
}

/** torch's two ways on the CPU (ATen `DistributionTemplates.h`): tensors of 16 and more in blocks, smaller ones singly. */
function cpuStream(seed: bigint): (n: number) => Float32Array {
  const engine = new Mt19937(Number(seed & 0xffffffffn))
  const single = singleNormals(engine)
  return (n) => (n < 16 ? Float32Array.from({ length: n }, single) : blockNormals(engine, n))
}

/** ATen `normal_fill`: float uniforms first, then Box–Muller over blocks of 16; a ragged end redraws the last 16. */
function blockNormals(engine: Mt19937, n: number): Float32Array {
  const data = new Float32Array(n)
  for (let i = 0; i < n; i++) data[i] = engine.uniform24()
  for (let start = 0; start + 16 <= n; start += 16) boxMuller16(data, start)
  if (n % 16 !== 0) {
    for (let i = n - 16; i < n; i++) data[i] = engine.uniform24()
    boxMuller16(data, n - 16)
  }
  return data
}

/** ATen `normal_distribution<double>`: pairs in double, the second of a pair kept for the next call, even a later draw's. */
function singleNormals(engine: Mt19937): () => number {
  let kept: number | undefined
  return () => {
    if (kept !== undefined) {
      const second = kept
      kept = undefined
      return second
    }
    const theta = 2 * Math.PI * engine.uniform53()
    const radius = Math.sqrt(-2 * Math.log1p(-engine.uniform53()))
    kept = radius * Math.sin(theta)
    return radius * Math.cos(theta)
  }
}
