/** Half precision (IEEE 754 binary16) as the 16 bits of each number, since Node 20 has no `Float16Array`. */

const scratch = new DataView(new ArrayBuffer(4))
let widened: Float32Array | undefined

/** Rounds to nearest even into `target`, as a cast in C does; what is too large becomes infinity. */
export function toFloat16(source: Float32Array, target: Uint16Array): Uint16Array {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length)
  for (let i = 0; i < bits.length; i++) target[i] = halfBits(bits[i]!)
  return target
}

export function fromFloat16(source: Uint16Array): Float32Array {
  widened ??= Float32Array.from({ length: 65536 }, (_, half) => singleOf(half))
  const target = new Float32Array(source.length)
  for (let i = 0; i < source.length; i++) target[i] = widened[source[i]!]!
  return target
}

/** bfloat16 is the upper half of float32. */
export function fromBfloat16(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length)
  for (let i = 0; i < source.length; i++) bits[i] = source[i]! << 16
  return new Float32Array(bits.buffer)
}

function halfBits(single: number): number {
  const sign = (single >>> 16) & 0x8000
  const magnitude = single & 0x7fffffff
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00)
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000) return sign | rounded(magnitude - 0x38000000, 13)
  if (magnitude < 0x33000000) return sign
  // Subnormal: the hidden bit becomes visible and moves right with the exponent.
  return sign | rounded((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >>> 23))
}

function rounded(value: number, shift: number): number {
  const kept = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept
}

function singleOf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  scratch.setUint32(0, ((half & 0x8000) << 16) | ((exponent + 112) << 23) | (fraction << 13))
  return scratch.getFloat32(0)
}
