/** One graph of a pipeline in ONNX Runtime: fed with plain float32 data, whatever types and ranks its export has. */

import { env, type InferenceSession, type Tensor as OrtTensor } from 'onnxruntime-node'
import type { Device } from '../devices/device.ts'
import { lacksHalf, runError } from '../devices/session-error.ts'
import { EngineError } from '../errors.ts'
import type { GraphSource, Rewrite, RewriteName } from '../graph/graph-source.ts'
import { hasHalfWeights } from '../graph/half-weights.ts'
import { float32Source } from '../graph/to-float32.ts'
import { allFinite, concatRows, type Tensor } from '../tensor.ts'
import { noHalf, type OpenSession, openSession, type Rewrites, type SessionSettings } from './open-session.ts'
import { type Feed, fromOrt, toOrt } from './ort-tensor.ts'

// Every failure is thrown and put into words here; ONNX Runtime's own lines on stderr would only repeat it.
env.logLevel = 'fatal'

export type { Rewrites, SessionSettings } from './open-session.ts'

/** By input name; those that a graph does not take are left out. */
export type Feeds = Readonly<Record<string, Feed | undefined>>

/** diffusers' class of that name (`pipelines/onnx_utils.py`): a session with a float32 face. */
export class OnnxRuntimeModel {
  readonly part: string
  /** As it was found: in float32 once half precision has computed NaN. */
  #source: GraphSource
  #rewrites: Rewrites
  #settings: SessionSettings
  #session: OpenSession | undefined
  #inputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata> = new Map()
  #outputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata> = new Map()
  #turn: Promise<unknown> = Promise.resolve()
  readonly #halves = new Map<string, Uint16Array>()
  /** What each float32 input was fed last. */
  readonly #fed = new Map<string, OrtTensor>()

  private constructor(source: GraphSource, rewrites: Rewrites, settings: SessionSettings) {
    this.part = source.part
    this.#source = source
    this.#rewrites = rewrites
    this.#settings = settings
  }

  /**
   * @throws EngineError 'model' for a damaged or missing file, 'device' when this device cannot run it; what a rewrite throws.
   */
  static async load(
    source: GraphSource,
    settings: SessionSettings,
    rewrites: Rewrites = {},
  ): Promise<OnnxRuntimeModel> {
    const model = new OnnxRuntimeModel(source, rewrites, settings)
    await model.open()
    return model
  }

  /**
   * A model that most never need: `open` or the first run opens it. Its file's outline is read at once.
   * @throws EngineError 'model' for a damaged or missing file
   */
  static later(source: GraphSource, settings: SessionSettings, rewrites: Rewrites = {}): OnnxRuntimeModel {
    source.read()
    return new OnnxRuntimeModel(source, rewrites, settings)
  }

  /** Opens it where it is not open: its inputs and outputs are known from then on. @throws EngineError as `load` */
  open(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#opened()
    })
  }

  get device(): Device {
    return this.#settings.device
  }

  /** What its graph is made from, before any rewriting. */
  get source(): GraphSource {
    return this.#source
  }

  hasRewrite(name: RewriteName): boolean {
    return this.#rewrites[name] !== undefined
  }

  /** By name, as the export declares them: type, and a shape of numbers and symbols. */
  get inputs(): ReadonlyMap<string, InferenceSession.TensorValueMetadata> {
    return this.#inputs
  }

  get outputs(): ReadonlyMap<string, InferenceSession.TensorValueMetadata> {
    return this.#outputs
  }

  /** Whether it computes in half precision: many such graphs take and give float32, and only their weights tell. */
  get isHalf(): boolean {
    const types = [...this.#inputs.values(), ...this.#outputs.values()].map(({ type }) => type)
    return types.includes('float16') || hasHalfWeights(this.#source.read())
  }

  /**
   * Runs the graph. What it gives back belongs to the caller.
   * @param feeds Every input of the graph must be there.
   * @param fetches The outputs wanted, in the order in which they are given back; the others are not copied out.
   * @throws EngineError 'numeric' for NaN or infinity that float32 does not cure, 'device' or 'argument' when the run fails.
   */
  run(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    return this.#inTurn(() => this.#runFinite(feeds, fetches))
  }

  /**
   * Runs what this rewrite, beside the others, makes of the graph from now on, with the same inputs and outputs or more;
   * nothing takes the rewrite of that name away. The old session is freed.
   */
  setRewrite(name: RewriteName, rewrite: Rewrite | undefined): Promise<void> {
    return this.#inTurn(async () => {
      const { [name]: before, ...others } = this.#rewrites
      if (before !== rewrite) await this.#reopen({ rewrites: rewrite ? { ...others, [name]: rewrite } : others })
    })
  }

  /** Runs another graph in the place of its own, with the same rewrites; the old session is freed. */
  setSource(source: GraphSource): Promise<void> {
    return this.#inTurn(() => this.#reopen({ source }))
  }

  /** Moves to another device; where that fails, the model stays as it was. */
  to(device: Device): Promise<void> {
    return this.#inTurn(async () => {
      const settings = { ...this.#settings, device }
      // One that was never needed is opened there when it is.
      if (this.#inputs.size === 0) this.#settings = settings
      else if (device !== this.device || !this.#session) await this.#reopen({ settings })
    })
  }

  /** Frees the session; the next run opens it again. */
  release(): Promise<void> {
    return this.#inTurn(() => this.#free())
  }

  /** ONNX Runtime starts a run a moment after it is asked to: until it is done, session and buffers are its own. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #runFinite(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    const results = await this.#runHalfOrSingle(feeds, fetches)
    if (results.every(({ data }) => allFinite(data))) return results
    const { fp32 } = this.#source
    if (fp32 === undefined) throw this.#notFinite()
    this.#settings.onNotice?.(`The ${this.part} computed NaN in half precision; using its float32 file instead.`)
    await this.#reopen({ source: fp32 })
    return this.#runFinite(feeds, fetches)
  }

  /** Some devices say that they lack half precision only when they are to compute in it. */
  async #runHalfOrSingle(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    try {
      return await this.#runRows(feeds, fetches)
    } catch (error) {
      if (!lacksHalf(error)) throw error
      this.#settings.onNotice?.(noHalf(this.part, this.device))
      await this.#reopen({ source: float32Source(this.#source) })
      return this.#runRows(feeds, fetches)
    }
  }

  async #free(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    this.#fed.clear()
    await session?.release()
  }

  /** Where that fails, everything stays as it was. */
  async #reopen({
    source = this.#source,
    rewrites = this.#rewrites,
    settings = this.#settings,
  }: {
    source?: GraphSource
    rewrites?: Rewrites
    settings?: SessionSettings
  }): Promise<void> {
    const opened = await openSession(source, rewrites, settings)
    await this.#free()
    this.#rewrites = rewrites
    this.#settings = settings
    this.#take(opened)
  }

  async #opened(): Promise<OpenSession> {
    return this.#session ?? this.#take(await openSession(this.#source, this.#rewrites, this.#settings))
  }

  #take(opened: OpenSession): OpenSession {
    this.#session = opened
    this.#source = opened.source
    this.#inputs = tensors(opened.session.inputMetadata)
    this.#outputs = tensors(opened.session.outputMetadata)
    return opened
  }

  /**
   * Exports of a fixed batch run so many rows at a time, the last call filled up with its last row; where rows would depend
   * on each other, each has a call of its own.
   */
  async #runRows(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    await this.#opened()
    const { name, shape } = this.#inputs.values().next().value!
    const fixed = typeof shape[0] === 'number' && shape[0] > 0 ? shape[0] : undefined
    const taken = Object.values(this.#rewrites).some(({ oneRow }) => oneRow) ? 1 : fixed
    const rows = feeds[name]?.dims[0]
    if (taken === undefined || rows === undefined || (rows === taken && rows === (fixed ?? rows)))
      return this.#runOnce(feeds, fetches)
    return this.#runInParts(feeds, fetches, rows, { taken, filled: fixed ?? taken })
  }

  async #runInParts(
    feeds: Feeds,
    fetches: readonly string[],
    rows: number,
    { taken, filled }: { taken: number; filled: number },
  ): Promise<Tensor[]> {
    const runs: Tensor[][] = []
    for (let from = 0; from < rows; from += taken) {
      const part = Object.entries(feeds).map(([key, feed]) => [
        key,
        feed?.dims[0] === rows && this.#hasRows(key, filled) ? rowsAt(rowsAt(feed, from, taken), 0, filled) : feed,
      ])
      const results = await this.#runOnce(Object.fromEntries(part), fetches)
      runs.push(taken === filled ? results : results.map((result) => rowsAt(result, 0, taken)))
    }
    return fetches.map((_, i) => rowsAt(concatRows(runs.map((run) => run[i]!)), 0, rows))
  }

  /** What rewrites add is the same for all rows, though its first axis may be as long by chance. */
  #hasRows(name: string, batch: number): boolean {
    const isAdded = Object.values(this.#rewrites).some(({ inputs }) => inputs !== undefined && name.startsWith(inputs))
    const first = this.#inputs.get(name)?.shape[0]
    return !isAdded && !(typeof first === 'number' && first > 0 && first !== batch)
  }

  async #runOnce(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    const { session } = await this.#opened()
    const inputs: Record<string, OrtTensor> = {}
    for (const input of this.#inputs.values()) {
      const feed = feeds[input.name]
      if (!feed) throw this.#notFed(input)
      inputs[input.name] = this.#fedBefore(input.name, feed) ?? this.#toOrt(input, feed)
    }
    let results: InferenceSession.ReturnType
    try {
      results = await session.run(inputs, [...fetches])
    } catch (error) {
      throw runError(error, this.part, this.device)
    }
    return fetches.map((name) => fromOrt(results[name] as OrtTensor))
  }

  /** What is fed again in the next step has kept its memory, and so the tensor around it. */
  #fedBefore(name: string, { data, dims }: Feed): OrtTensor | undefined {
    const last = this.#fed.get(name)
    return last && last.data === data && last.dims === dims ? last : undefined
  }

  #toOrt({ name, type, shape }: InferenceSession.TensorValueMetadata, feed: Feed): OrtTensor {
    if (shape.some((dim, i) => typeof dim === 'number' && dim > 0 && dim !== feed.dims[i]))
      throw this.#wrongShape(name, shape, feed)
    const tensor = toOrt(type, feed, (length) => this.#halfBuffer(name, length))
    if (!tensor)
      throw new EngineError('model', `The ${this.part}'s input "${name}" has the type ${type}, which is not supported.`)
    if (type === 'float32') this.#fed.set(name, tensor)
    return tensor
  }

  #halfBuffer(name: string, length: number): Uint16Array {
    const kept = this.#halves.get(name)
    if (kept?.length === length) return kept
    const fresh = new Uint16Array(length)
    this.#halves.set(name, fresh)
    return fresh
  }

  #notFed({ name }: InferenceSession.TensorValueMetadata): EngineError {
    return new EngineError('model', `The ${this.part} wants an input "${name}" that this kind of pipeline has not.`)
  }

  #wrongShape(name: string, shape: readonly (number | string)[], { dims }: Feed): EngineError {
    return new EngineError(
      'argument',
      `The ${this.part} takes "${name}" as [${shape.join(', ')}] alone, not [${dims.join(', ')}]; ask for the size that it was` +
        ' exported for, or export it with dynamic axes.',
    )
  }

  #notFinite(): EngineError {
    const cure = this.isHalf
      ? "it runs in half precision, which overflowed: use dtype 'fp32', or export this part in float32"
      : 'its weights may be damaged (download them again), or the guidance scale or a weight in the prompt is far too high'
    return new EngineError('numeric', `The ${this.part} computed NaN or infinity; ${cure}.`)
  }
}

function tensors(
  metadata: readonly InferenceSession.ValueMetadata[],
): Map<string, InferenceSession.TensorValueMetadata> {
  return new Map(metadata.filter((value) => value.isTensor).map((value) => [value.name, value]))
}

/** Rows from `from` on, the last one repeated where there are fewer than `count`. */
function rowsAt({ data, dims }: Feed, from: number, count: number): Tensor {
  const size = data.length / dims[0]!
  const out = new Float32Array(count * size)
  for (let row = 0; row < count; row++) {
    const at = Math.min(from + row, dims[0]! - 1) * size
    out.set(data.slice(at, at + size), row * size)
  }
  return { data: out, dims: [count, ...dims.slice(1)] }
}
