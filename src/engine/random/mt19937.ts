/** The Mersenne Twister with 32-bit output (Matsumoto and Nishimura 1998), and torch's uniform numbers from it. */

const STATE_SIZE = 624
const MIDDLE = 397

export class Mt19937 {
  readonly #state = new Uint32Array(STATE_SIZE)
  #next = STATE_SIZE

  /** @param seed Unsigned, 32 bits. */
  constructor(seed: number) {
    const state = this.#state
    state[0] = seed
    for (let i = 1; i < STATE_SIZE; i++) {
      const previous = state[i - 1]! ^ (state[i - 1]! >>> 30)
      state[i] = Math.imul(1812433253, previous) + i
    }
  }

  /** The next 32 bits, unsigned. */
  random(): number {
    if (this.#next === STATE_SIZE) this.#twist()
    let y = this.#state[this.#next++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** In [0, 1), on the grid of float32: ATen's `uniform_real_distribution<float>`. */
  uniform24(): number {
    return (this.random() & 0xffffff) / 2 ** 24
  }

  /** In [0, 1), on the grid of float64: ATen's `uniform_real_distribution<double>`, high word first. */
  uniform53(): number {
    const high = this.random() & 0x1fffff
    return (high * 2 ** 32 + this.random()) / 2 ** 53
  }

  #twist(): void {
    const state = this.#state
    for (let i = 0; i < STATE_SIZE; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % STATE_SIZE]! & 0x7fffffff)
      state[i] = state[(i + MIDDLE) % STATE_SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0)
    }
    this.#next = 0
  }
}
