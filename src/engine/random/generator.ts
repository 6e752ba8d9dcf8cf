/** Seeds that give torch's noise: `new Generator(seed)` draws what `torch.Generator().manual_seed(seed)` draws. */

import type { Tensor } from '../tensor.ts'

export interface GeneratorOptions {
  /** 'cpu' = torch's mt19937 (default); 'cuda' = the philox stream of CUDA and AUTOMATIC1111. */
  device?: 'cpu' | 'cuda'
}

/** A stream of standard normal numbers; a second draw continues it. */
export declare class Generator {
  constructor(seed: number | bigint, options?: GeneratorOptions)
  /** Standard normal numbers, as `torch.randn(dims, generator=…)` draws them in float32. */
  randn(dims: readonly number[]): Tensor
}
