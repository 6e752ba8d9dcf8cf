/**
 * Box–Muller in float32, bit for bit as torch computes it on a CPU with AVX2: the polynomials of the Cephes library (logf,
 * sinf, cosf), a multiplication and an addition fused into one rounding wherever its compiler fuses them.
 */

const { fround } = Math

/** a · b + c with one rounding: the product of two float32 is exact in a double. */
const fma = (a: number, b: number, c: number): number => fround(a * b + c)

/**
 * Turns 16 uniform numbers in [0, 1) into 16 normal ones: the first eight give the radii, the last eight the angles
 * (ATen `normal_fill_16_AVX2`).
 */
export function boxMuller16(data: Float32Array, start: number): void {
  for (let i = start; i < start + 8; i++) {
    const radius = fround(Math.sqrt(fround(-2 * log(fround(1 - data[i]!)))))
    const theta = fround(TWO_PI * data[i + 8]!)
    data[i] = radius * cos(theta)
    data[i + 8] = radius * sin(theta)
  }
}

const TWO_PI = fround(2 * Math.PI)
const SQRT_HALF = fround(Math.SQRT1_2)
const LOG_COEFFICIENTS = Float32Array.of(
  7.0376836292e-2,
  -1.151461031e-1,
  1.167699874e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
)
/** ln 2 in two parts, the larger exact in few bits. */
const LN2_LOW = fround(-2.1219444e-4)
const LN2_HIGH = fround(0.693359375)

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** For normal numbers above 0: x = m · 2ᵉ with m in [√½, √2), and a polynomial in m − 1. */
function log(x: number): number {
  float[0] = x
  let exponent = (bits[0]! >>> 23) - 126
  bits[0] = (bits[0]! & 0x7fffff) | 0x3f000000
  let m = float[0]!
  if (m < SQRT_HALF) {
    exponent -= 1
    m = fround(fround(m - 1) + m)
  } else m = fround(m - 1)

  const square = fround(m * m)
  let y = LOG_COEFFICIENTS[0]!
  for (let i = 1; i < LOG_COEFFICIENTS.length; i++) y = fma(y, m, LOG_COEFFICIENTS[i]!)
  y = fma(fround(y * m), square, fround(exponent * LN2_LOW))
  y = fma(square, -0.5, y)
  return fma(exponent, LN2_HIGH, fround(m + y))
}

const FOUR_OVER_PI = fround(4 / Math.PI)
/** −π/4 in three parts. */
const REDUCE_1 = fround(-0.78515625)
const REDUCE_2 = fround(-2.4187564849853516e-4)
const REDUCE_3 = fround(-3.774894977445941e-8)

/** The octant of an angle from 0 to 2π, made even: the multiple of π/4 that is subtracted from it. */
function evenOctant(x: number): number {
  return (Math.trunc(fround(x * FOUR_OVER_PI)) + 1) & ~1
}

function reduce(x: number, octant: number): number {
  return fma(octant, REDUCE_3, fma(octant, REDUCE_2, fma(octant, REDUCE_1, x)))
}

function sin(x: number): number {
  const octant = evenOctant(x)
  const r = reduce(x, octant)
  const value = (octant & 2) === 0 ? sinPolynomial(r) : cosPolynomial(r)
  return (octant & 4) === 0 ? value : -value
}

function cos(x: number): number {
  const octant = evenOctant(x)
  const r = reduce(x, octant)
  const value = (octant & 2) === 0 ? cosPolynomial(r) : sinPolynomial(r)
  return ((octant - 2) & 4) !== 0 ? value : -value
}

const SIN_3 = fround(-1.6666654611e-1)
const SIN_5 = fround(8.3321608736e-3)
const SIN_7 = fround(-1.9515295891e-4)

/** Within π/4 of 0. */
function sinPolynomial(r: number): number {
  const square = fround(r * r)
  const y = fma(fma(SIN_7, square, SIN_5), square, SIN_3)
  return fma(fround(y * square), r, r)
}

const COS_4 = fround(4.166664568298827e-2)
const COS_6 = fround(-1.388731625493765e-3)
const COS_8 = fround(2.443315711809948e-5)

/** Within π/4 of 0. */
function cosPolynomial(r: number): number {
  const square = fround(r * r)
  const y = fma(fma(COS_8, square, COS_6), square, COS_4)
  const half = fround(square * 0.5)
  return fround(fma(fround(y * square), square, -half) + 1)
}
