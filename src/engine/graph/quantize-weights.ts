/** Weights as eight bits: one scale an output, computed from the stored numbers a part at a time. */

import type { WeightedNode } from './find-weighted.ts'
import { WeightReader } from './weight-values.ts'

/**
 * How a weight's bytes are stored: 'signed' has zero at 0; 'unsigned' has it at 128, for processors whose instructions for
 * signed weights add two products in 16 bits, which overflow.
 */
export type WeightSign = 'signed' | 'unsigned'

export interface QuantizedWeight {
  /** `[taps · inputs, outputs]`, a convolution's window (its taps) in front of its channels. */
  readonly values: Uint8Array
  /** What each output's values are multiplied with. */
  readonly scales: Float32Array
}

/** Numbers read at once: 8 MiB of them. */
const PART = 2 ** 21

/** Bytes of a cache line. */
const BLOCK = 64

/** @throws EngineError 'model' where a file ends too early */
export function quantizeWeight(weighted: WeightedNode, sign: WeightSign): QuantizedWeight {
  const reader = new WeightReader(weighted.weight)
  try {
    const zero = sign === 'signed' ? 0 : 128
    return weighted.outputsFirst ? byOutput(weighted, reader, zero) : byInput(weighted, reader, zero)
  } finally {
    reader.close()
  }
}

/** Taps times inputs: how many numbers an output has. */
export function depthOf({ inputs, window }: WeightedNode): number {
  return inputs * (window ? window.size[0] * window.size[1] : 1)
}

/** `[outputs, inputs, taps]`, as torch stores it. */
function byOutput(weighted: WeightedNode, reader: WeightReader, zero: number): QuantizedWeight {
  const { outputs } = weighted
  const depth = depthOf(weighted)
  const values = new Uint8Array(depth * outputs)
  const scales = new Float32Array(outputs)
  const rows = Math.max(1, Math.floor(PART / depth))
  const quantized = new Uint8Array(rows * depth)
  for (let first = 0; first < outputs; first += rows) {
    const count = Math.min(rows, outputs - first)
    const part = reader.read(first * depth, count * depth)
    for (let row = 0; row < count; row++) {
      const [from, to] = [row * depth, (row + 1) * depth]
      const most = largest(part, from, to)
      scales[first + row] = most / 127
      const inverse = most > 0 ? 127 / most : 0
      for (let i = from; i < to; i++) quantized[i] = rounded(part[i]! * inverse, zero)
    }
    transpose(quantized, count, weighted, values, first)
  }
  return { values, scales }
}

/** Rows of `[inputs, taps]` become columns of `[taps, inputs]`, from column `first` on; in blocks, for the processor's cache. */
function transpose(
  from: Uint8Array,
  rows: number,
  { inputs, outputs, window }: WeightedNode,
  to: Uint8Array,
  first: number,
): void {
  const taps = window ? window.size[0] * window.size[1] : 1
  const depth = inputs * taps
  for (let rowBlock = 0; rowBlock < rows; rowBlock += BLOCK) {
    const lastRow = Math.min(rowBlock + BLOCK, rows)
    for (let inputBlock = 0; inputBlock < inputs; inputBlock += BLOCK) {
      const lastInput = Math.min(inputBlock + BLOCK, inputs)
      for (let tap = 0; tap < taps; tap++)
        for (let input = inputBlock; input < lastInput; input++) {
          const target = (tap * inputs + input) * outputs + first
          const source = input * taps + tap
          for (let row = rowBlock; row < lastRow; row++) to[target + row] = from[row * depth + source]!
        }
    }
  }
}

/** `[inputs, outputs]`, as exports store it: read twice, since an output's largest number is known only at the end. */
function byInput({ inputs, outputs }: WeightedNode, reader: WeightReader, zero: number): QuantizedWeight {
  const values = new Uint8Array(inputs * outputs)
  const most = new Float32Array(outputs)
  const rows = Math.max(1, Math.floor(PART / outputs))
  const inParts = (visit: (part: Float32Array, at: number) => void) => {
    for (let first = 0; first < inputs; first += rows)
      visit(reader.read(first * outputs, Math.min(rows, inputs - first) * outputs), first * outputs)
  }
  inParts((part) => {
    for (let at = 0; at < part.length; at += outputs)
      for (let output = 0; output < outputs; output++) {
        const size = Math.abs(part[at + output]!)
        if (size > most[output]!) most[output] = size
      }
  })
  const inverse = Float64Array.from(most, (size) => (size > 0 ? 127 / size : 0))
  inParts((part, start) => {
    for (let at = 0; at < part.length; at += outputs)
      for (let output = 0; output < outputs; output++)
        values[start + at + output] = rounded(part[at + output]! * inverse[output]!, zero)
  })
  return { values, scales: most.map((size) => size / 127) }
}

/** To the nearest whole number; `|` drops the fraction of what is positive, many times faster than Math.round. */
function rounded(value: number, zero: number): number {
  return ((value + 128.5) | 0) - 128 + zero
}

function largest(numbers: Float32Array, from: number, to: number): number {
  let most = 0
  for (let i = from; i < to; i++) {
    const size = Math.abs(numbers[i]!)
    if (size > most) most = size
  }
  return most
}
