/** One graph of a pipeline in ONNX Runtime: fed with plain float32 data, whatever types and ranks its export has. */

import { env, InferenceSession, type Tensor as OrtTensor } from 'onnxruntime-node'
import { type Device, providerOptions } from '../devices/device.ts'
import { openError, runError } from '../devices/session-error.ts'
import { EngineError } from '../errors.ts'
import { type GraphSource, REWRITE_ORDER, type Rewrite, type RewriteName } from '../graph/graph-source.ts'
import { hasHalfWeights } from '../graph/half-weights.ts'
import { encodeOnnx } from '../graph/onnx-bytes.ts'
import { allFinite, concatRows, type Tensor } from '../tensor.ts'
import { type Feed, fromOrt, toOrt } from './ort-tensor.ts'

// Every failure is thrown and put into words here; ONNX Runtime's own lines on stderr would only repeat it.
env.logLevel = 'fatal'

export interface SessionSettings {
  readonly device: Device
  /** Passed to ONNX Runtime as it stands: threads, memory arena … */
  readonly sessionOptions?: InferenceSession.SessionOptions
  /** Told in a sentence what the person should know, such as a change to float32. */
  readonly onNotice?: (message: string) => void
}

/** By name; applied in `REWRITE_ORDER`. */
export type Rewrites = Readonly<Partial<Record<RewriteName, Rewrite>>>

/** By input name; those that a graph does not take are left out. */
export type Feeds = Readonly<Record<string, Feed | undefined>>

/** diffusers' class of that name (`pipelines/onnx_utils.py`): a session with a float32 face. */
export class OnnxRuntimeModel {
  readonly part: string
  /** As it was found: in float32 once half precision has computed NaN. */
  #source: GraphSource
  #rewrites: Rewrites
  #settings: SessionSettings
  #session: InferenceSession | undefined
  #inputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata>
  #outputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata>
  #turn: Promise<unknown> = Promise.resolve()
  readonly #halves = new Map<string, Uint16Array>()
  /** What each float32 input was fed last. */
  readonly #fed = new Map<string, OrtTensor>()

  private constructor(source: GraphSource, rewrites: Rewrites, settings: SessionSettings, session: InferenceSession) {
    this.part = source.part
    this.#source = source
    this.#rewrites = rewrites
    this.#settings = settings
    this.#session = session
    this.#inputs = tensors(session.inputMetadata)
    this.#outputs = tensors(session.outputMetadata)
  }

  /**
   * @throws EngineError 'model' for a damaged or missing file, 'device' when this device cannot run it; what a rewrite throws.
   */
  static async load(
    source: GraphSource,
    settings: SessionSettings,
    rewrites: Rewrites = {},
  ): Promise<OnnxRuntimeModel> {
    return new OnnxRuntimeModel(source, rewrites, settings, await open(source, rewrites, settings))
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
      if (device !== this.device || !this.#session) await this.#reopen({ settings: { ...this.#settings, device } })
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
    const results = await this.#runRows(feeds, fetches)
    if (results.every(({ data }) => allFinite(data))) return results
    const { fp32 } = this.#source
    if (fp32 === undefined) throw this.#notFinite()
    this.#settings.onNotice?.(`The ${this.part} computed NaN in half precision; using its float32 file instead.`)
    await this.#reopen({ source: fp32 })
    return this.#runFinite(feeds, fetches)
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
    const session = await open(source, rewrites, settings)
    await this.#free()
    this.#session = session
    this.#source = source
    this.#rewrites = rewrites
    this.#settings = settings
    this.#inputs = tensors(session.inputMetadata)
    this.#outputs = tensors(session.outputMetadata)
  }

  /** Exports of a fixed batch run so many rows at a time, the last call filled up with its last row. */
  #runRows(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    const { name, shape } = this.#inputs.values().next().value!
    const batch = shape[0]
    const rows = feeds[name]?.dims[0]
    if (typeof batch !== 'number' || batch < 1 || rows === undefined || rows === batch)
      return this.#runOnce(feeds, fetches)
    return this.#runInParts(feeds, fetches, rows, batch)
  }

  async #runInParts(feeds: Feeds, fetches: readonly string[], rows: number, batch: number): Promise<Tensor[]> {
    const runs: Tensor[][] = []
    for (let from = 0; from < rows; from += batch) {
      const part = Object.entries(feeds).map(([key, feed]) => [
        key,
        feed?.dims[0] === rows ? rowsAt(feed, from, batch) : feed,
      ])
      runs.push(await this.#runOnce(Object.fromEntries(part), fetches))
    }
    return fetches.map((_, i) => rowsAt(concatRows(runs.map((run) => run[i]!)), 0, rows) as Tensor)
  }

  async #runOnce(feeds: Feeds, fetches: readonly string[]): Promise<Tensor[]> {
    this.#session ??= await open(this.#source, this.#rewrites, this.#settings)
    const session = this.#session
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

/**
 * Threads that spin while they wait for work take the cores that Node and the other threads need: on two cores pictures
 * took up to 1.7 times as long with it, and twice that beside another busy process.
 */
const QUIET_THREADS = { intra_op: { allow_spinning: '0' } }

/**
 * A sum and the layer norm behind it would be joined in one operator, though not where the sum is given out: a text encoder
 * that shows its earlier layers would then compute its last one a little differently than before.
 */
const APART = { optimization: { disable_specified_optimizers: 'SkipLayerNormFusion' } }

async function open(source: GraphSource, rewrites: Rewrites, settings: SessionSettings): Promise<InferenceSession> {
  const { part, path } = source
  const { graph, folder } = prepared(source, rewrites)
  const { session: asked, ...extra } = (settings.sessionOptions?.extra ?? {}) as { session?: object }
  const options = {
    ...providerOptions(settings.device),
    ...settings.sessionOptions,
    extra: {
      session: {
        ...QUIET_THREADS,
        ...(folder !== undefined && { model_external_initializers_file_folder_path: folder }),
        ...asked,
      },
      ...(part.startsWith('text_encoder') && APART),
      ...extra,
    },
  }
  try {
    // Its two signatures differ in this argument alone.
    return await InferenceSession.create(graph as string, options)
  } catch (error) {
    throw openError(error, part, path, settings.device)
  }
}

/** What the session is made from: an export's own file where nothing is made of it, else bytes that point to its weights. */
function prepared(source: GraphSource, rewrites: Rewrites): { graph: string | Uint8Array; folder?: string } {
  const wanted = REWRITE_ORDER.flatMap((name) => rewrites[name] ?? [])
  if (wanted.length === 0 && source.exported !== undefined) return { graph: source.exported }
  const graph = wanted.reduce((graph, rewrite) => rewrite.apply(graph, source.path), source.read())
  const { bytes, folder } = encodeOnnx(graph)
  return { graph: bytes, ...(folder !== undefined && { folder }) }
}

function tensors(
  metadata: readonly InferenceSession.ValueMetadata[],
): Map<string, InferenceSession.TensorValueMetadata> {
  return new Map(metadata.filter((value) => value.isTensor).map((value) => [value.name, value]))
}

/** Rows from `from` on, the last one repeated where there are fewer than `count`. */
function rowsAt({ data, dims }: Feed, from: number, count: number): Feed {
  const size = data.length / dims[0]!
  const out = new Float32Array(count * size)
  for (let row = 0; row < count; row++) {
    const at = Math.min(from + row, dims[0]! - 1) * size
    out.set(data.slice(at, at + size), row * size)
  }
  return { data: out, dims: [count, ...dims.slice(1)] }
}
