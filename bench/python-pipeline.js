/** An alternative in Python as a child process that lives as long as the bench: `reference/pipeline.py`. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('./reference/pipeline.py', import.meta.url))

export class PythonPipeline {
  /** What it runs on, such as `optimum-onnx 0.1.0, onnxruntime 1.30.0`. */
  versions = ''
  #process
  #answers
  #lastWords = ''

  /** @param {'optimum' | 'diffusers'} kind @throws when Python or a package is missing; the message says which */
  static async start(kind, threads) {
    const pipeline = new PythonPipeline(kind, threads)
    pipeline.versions = (await pipeline.#answer()).versions
    return pipeline
  }

  constructor(kind, threads) {
    this.#process = spawn(process.env.SEEDLING_BENCH_PYTHON ?? 'python3', [SCRIPT, kind, String(threads)])
    this.#process.on('error', ({ message }) => {
      this.#lastWords = message
    })
    this.#process.stderr.on('data', (text) => {
      this.#lastWords = String(text).trim().split('\n').at(-1) || this.#lastWords
    })
    this.#answers = createInterface(this.#process.stdout)[Symbol.asyncIterator]()
  }

  load(folder) {
    return this.#ask({ load: folder })
  }

  /** @returns {Promise<{ ms: number, pixels: Float32Array | undefined }>} */
  async generate({ prompts, seed, width, height, numInferenceSteps, guidanceScale, pixels = false }) {
    const numbers = { width, height, num_inference_steps: numInferenceSteps, guidance_scale: guidanceScale }
    const answer = await this.#ask({ generate: { prompts, seed, pixels, ...numbers } })
    const bytes = answer.pixels && Uint8Array.from(Buffer.from(answer.pixels, 'base64'))
    return { ms: answer.ms, pixels: bytes && new Float32Array(bytes.buffer) }
  }

  async stop() {
    if (this.#process.exitCode !== null) return
    this.#process.stdin.end()
    await once(this.#process, 'exit')
  }

  #ask(message) {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`)
    return this.#answer()
  }

  async #answer() {
    const { value: line } = await this.#answers.next()
    if (line === undefined) throw new Error(this.#lastWords || 'it ended without a word')
    const answer = JSON.parse(line)
    if (answer.error) throw new Error(answer.error)
    return answer
  }
}
