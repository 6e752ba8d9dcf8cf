/** The quantile function of the symmetric beta distribution, for noise levels spread by it. */

/** x in 0..1 where a Beta(a, a) variable is at most x with probability `q`, 0 < a < 1. */
export function betaQuantile(q: number, a: number): number {
  if (q > 0.5) return 1 - betaQuantile(1 - q, a)
  const target = 2 * q * halfIntegral(0.5, a)
  let low = 0
  let high = 0.5
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (halfIntegral(middle, a) < target) low = middle
    else high = middle
  }
  return high
}

/** ∫₀ˣ tᵃ⁻¹ (1 − t)ᵃ⁻¹ dt by its power series, which at least halves from term to term for x ≤ ½. */
function halfIntegral(x: number, a: number): number {
  let term = 1
  let sum = 1 / a
  for (let k = 1; k < 60; k++) {
    term *= ((k - a) / k) * x
    sum += term / (a + k)
  }
  return x ** a * sum
}
