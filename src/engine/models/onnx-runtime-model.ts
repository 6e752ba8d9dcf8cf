/** One graph of a pipeline in ONNX Runtime: fed with plain float32 data, whatever types and ranks its export has. */

import { env, InferenceSession, type Tensor as OrtTensor } from 'onnxruntime-node'
import { EngineError } from '../errors.ts'
import { hasHalfWeights } from '../graph/weight-type.ts'
import { allFinite, concatRows, type Tensor } from '../tensor.ts'
import { type Device, providerOptions } from './device.ts'
import { type Feed, fromOrt, toOrt } from './ort-tensor.ts'
import { openError, runError } from './session-error.ts'

// Every failure is thrown and put into words here; ONNX Runtime's own lines on stderr would only repeat it.
env.logLevel = 'fatal'

/** Where a part's graph lies. */
export interface GraphFile {
  /** The part's folder: 'unet', 'text_encoder', … */
  readonly part: string
  readonly path: string
  /** The same part in float32, where this file is half precision and the folder has both: used when it computes NaN. */
  readonly fp32Path?: string
}

export interface SessionSettings {
  readonly device: Device
  /** Passed to ONNX Runtime as it stands: threads, memory arena … */
  readonly sessionOptions?: InferenceSession.SessionOptions
  /** Told in a sentence what the person should know, such as a change to float32. */
  readonly onNotice?: (message: string) => void
}

/** Gives the path of the graph that runs in an exported one's place, such as the same with its attention fused. */
export type Rewrite = (exported: string) => Promise<string>

const asExported: Rewrite = async (exported) => exported

/** By input name; those that a graph does not take are left out. */
export type Feeds = Readonly<Record<string, Feed | undefined>>

/** diffusers' class of that name (`pipelines/onnx_utils.py`): a session with a float32 face. */
export class OnnxRuntimeModel {
  readonly part: string
  /** As it was found: in float32 once half precision has computed NaN. */
  #exported: string
  #rewrite: Rewrite
  #path: string
  readonly #fp32Path: string | undefined
  #settings: SessionSettings
  #session: InferenceSession | undefined
  #inputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata>
  #outputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata>
  #turn: Promise<unknown> = Promise.resolve()
  readonly #halves = new Map<string, Uint16Array>()
  /** What each float32 input was fed last. */
  readonly #fed = new Map<string, OrtTensor>()

  private constructor(
    { part, path: exported, fp32Path }: GraphFile,
    settings: SessionSettings,
    { rewrite, path, session }: { rewrite: Rewrite; path: string; session: InferenceSession },
  ) {
    this.part = part
    this.#exported = exported
    this.#rewrite = rewrite
    this.#path = path
    this.#fp32Path = fp32Path
    this.#settings = settings
    this.#session = session
    this.#inputs = tensors(session.inputMetadata)
    this.#outputs = tensors(session.outputMetadata)
  }

  /**
   * @throws EngineError 'model' for a damaged or missing file, 'device' when this device cannot run it; what `rewrite` throws.
   */
  static async load(file: GraphFile, settings: SessionSettings, rewrite = asExported): Promise<OnnxRuntimeModel> {
    const path = await rewrite(file.path)
    return new OnnxRuntimeModel(file, settings, { rewrite, path, session: await open(file.part, path, settings) })
  }

  get device(): Device {
    return this.#settings.device
  }

  /** The graph that runs: the file as it was found, or what was made of it. */
  get path(): string {
    return this.#path
  }

  /** Whether what runs was made of the file, and is not the file itself. */
  get isRewritten(): boolean {
    return this.#path !== this.#exported
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
    return types.includes('float16') || hasHalfWeights(this.#path)
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
   * Runs what `rewrite` makes of the exported graph from now on, with the same inputs and outputs or more; the old session
   * is freed. Without one, the graph as it was exported.
   */
  rewrite(rewrite = asExported): Promise<void> {
    return this.#inTurn(async () => {
      const path = await rewrite(this.#exported)
      if (path !== this.#path) await this.#reopen(path, this.#settings)
      this.#rewrite = rewrite
    })
  }

  /** Moves to another device; where that fails, the model stays as it was. */
  to(device: Device): Promise<void> {
    return this.#inTurn(async () => {
      if (device !== this.device || !this.#session) await this.#reopen(this.#path, { ...this.#settings, device })
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
    if (this.#fp32Path === undefined || this.#exported === this.#fp32Path) throw this.#notFinite()
    this.#settings.onNotice?.(`The ${this.part} computed NaN in half precision; using its float32 file instead.`)
    await this.#reopen(await this.#rewrite(this.#fp32Path), this.#settings)
    this.#exported = this.#fp32Path
    return this.#runFinite(feeds, fetches)
  }

  async #free(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    this.#fed.clear()
    await session?.release()
  }

  async #reopen(path: string, settings: SessionSettings): Promise<void> {
    const session = await open(this.part, path, settings)
    await this.#free()
    this.#session = session
    this.#path = path
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
    this.#session ??= await open(this.part, this.#path, this.#settings)
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
const QUIET_THREADS = { session: { intra_op: { allow_spinning: '0' } } }

/**
 * A sum and the layer norm behind it would be joined in one operator, though not where the sum is given out: a text encoder
 * that shows its earlier layers would then compute its last one a little differently than before.
 */
const APART = { optimization: { disable_specified_optimizers: 'SkipLayerNormFusion' } }

async function open(part: string, path: string, settings: SessionSettings): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(path, {
      ...providerOptions(settings.device),
      extra: { ...QUIET_THREADS, ...(part.startsWith('text_encoder') && APART) },
      ...settings.sessionOptions,
    })
  } catch (error) {
    throw openError(error, part, path, settings.device)
  }
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
