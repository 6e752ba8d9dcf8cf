/**
 * Normal numbers as a CUDA device draws them: the counter-based Philox 4×32-10 of Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3" (2011), with cuRAND's Box–Muller; the stream that AUTOMATIC1111 offers as its "NV" source.
 *
 * torch gives each element a thread of its own, and so a counter of its own, up to the threads that the device runs at once
 * (40,960 on a T4, 221,184 on an A100); past them its numbers depend on the device, and these are AUTOMATIC1111's still.
 */

const ROUNDS = 10
const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85

/**
 * @param seed Unsigned, 64 bits: the key.
 * @param draw How many tensors this generator has drawn before: torch moves the counter on by one a tensor.
 * @param n How many numbers; each element has a counter of its own, so any prefix is the same for any n.
 */
export function philoxNormal(seed: bigint, draw: number, n: number): Float32Array {
  const low = Number(seed & 0xffffffffn)
  const high = Number(seed >> 32n)
  const data = new Float32Array(n)
  const words = new Uint32Array(4)
  for (let i = 0; i < n; i++) {
    words[0] = draw
    words[1] = 0
    words[2] = i
    words[3] = 0
    philox(words, low, high)
    const u = (words[0]! + 0.5) / 2 ** 32
    const v = ((words[1]! + 0.5) / 2 ** 32) * 2 * Math.PI
    data[i] = Math.sqrt(-2 * Math.log(u)) * Math.sin(v)
  }
  return data
}

/** Replaces the counter by its four random words. */
function philox(counter: Uint32Array, key0: number, key1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const low0 = Math.imul(MULTIPLIER_0, counter[0]!)
    const high0 = highProduct(MULTIPLIER_0, counter[0]!)
    const low1 = Math.imul(MULTIPLIER_1, counter[2]!)
    const high1 = highProduct(MULTIPLIER_1, counter[2]!)
    counter[0] = high1 ^ counter[1]! ^ key0
    counter[1] = low1
    counter[2] = high0 ^ counter[3]! ^ key1
    counter[3] = low0
    key0 = (key0 + WEYL_0) | 0
    key1 = (key1 + WEYL_1) | 0
  }
}

/** The high 32 bits of a 32 × 32 bit product. */
function highProduct(a: number, b: number): number {
  const lowA = a & 0xffff
  const highA = a >>> 16
  const lowB = b & 0xffff
  const highB = b >>> 16
  const middle = highA * lowB + ((lowA * lowB) >>> 16)
  const carry = lowA * highB + (middle % 0x10000)
  return highA * highB + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)
}
