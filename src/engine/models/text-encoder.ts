/** CLIP's text encoder: token ids to the hidden states that condition the UNet. */

import type { Config } from '../config-file.ts'
import { EngineError } from '../errors.ts'
import type { GraphSource } from '../graph/graph-source.ts'
import { EXPOSED, exposeHiddenStates, findHiddenStates } from '../graph/hidden-states.ts'
import { Surroundings } from '../graph/surroundings.ts'
import type { Tensor } from '../tensor.ts'
import { AddedRows } from './added-rows.ts'
import { type LayerNorm, readLayerNorm } from './layer-norm.ts'
import { LoraBranches } from './lora-branches.ts'
import type { Feeds, OnnxRuntimeModel } from './onnx-runtime-model.ts'

export interface TextEncoding {
  /** `[rows, tokens, width]`. */
  readonly hiddenStates: Tensor
  /** SDXL's second encoder: `[rows, width]`. */
  readonly textEmbeds?: Tensor
}

/** What a graph's file says of its layers. */
interface Layers {
  readonly source: GraphSource
  readonly norm: LayerNorm | undefined
  /** How many hidden states there are that the graph could be made to give out. */
  readonly hiddenStates: number
}

export class CLIPTextModel {
  readonly model: OnnxRuntimeModel
  readonly branches: LoraBranches
  readonly addedRows: AddedRows
  /** Where `config.json` asks for an attention mask: the id after which a row is padding. */
  readonly #maskedAfter: number | undefined
  readonly #inputIds: string
  readonly #epsilon: number
  #read: Layers | undefined

  constructor(model: OnnxRuntimeModel, config: Config) {
    this.model = model
    this.branches = new LoraBranches(model)
    this.#maskedAfter = config.use_attention_mask === true ? Number(config.eos_token_id) : undefined
    this.#epsilon = typeof config.layer_norm_eps === 'number' ? config.layer_norm_eps : 1e-5
    this.#inputIds = model.inputs.has('input_ids') ? 'input_ids' : [...model.inputs.keys()][0]!
    this.addedRows = new AddedRows(model, this.#inputIds)
  }

  /**
   * How many layers can be left out at the end: as many as the export shows, or its graph can be made to show.
   * @param normalised As for `encode`.
   * @throws EngineError 'model' when the file is broken.
   */
  skippableLayers(normalised: boolean): number {
    if (normalised && !this.#layers().norm) return 0
    // The first is what goes into the first layer.
    return Math.max(0, (this.#hiddenStates().length || this.#layers().hiddenStates) - 2)
  }

  /**
   * @param ids One row a text, all of one length.
   * @param fromEnd Which hidden state: 0 = the normalised output of the last layer, 1 = the layer before's, …
   * @param normalised Whether an earlier layer's output goes through the final layer norm too, as SD 1 and 2 want it.
   * @param given What branches and added rows are fed, where it is not what they are fed now, and no LoRA.
   * @throws EngineError 'argument' when there is no such hidden state
   */
  async encode(
    ids: readonly (readonly number[])[],
    fromEnd = 0,
    normalised = false,
    given: Feeds = {},
  ): Promise<TextEncoding> {
    const hidden = fromEnd === 0 ? this.#lastHiddenState() : await this.#hiddenState(fromEnd)
    const pooled = this.model.outputs.has('text_embeds') ? ['text_embeds'] : []
    const feeds = { ...this.#feeds(ids), ...this.branches.none, ...this.addedRows.feeds, ...given }
    const [states, textEmbeds] = await this.model.run(feeds, [hidden, ...pooled])
    const hiddenStates = normalised && fromEnd > 0 ? this.#finalNorm().apply(states!) : states!
    return { hiddenStates, ...(textEmbeds && { textEmbeds }) }
  }

  #feeds(ids: readonly (readonly number[])[]) {
    const dims = [ids.length, ids[0]!.length]
    const feeds = { [this.#inputIds]: { data: ids.flat(), dims } }
    if (!this.model.inputs.has('attention_mask')) return feeds
    const mask = ids.flatMap((row) => {
      const end = this.#maskedAfter === undefined ? -1 : row.indexOf(this.#maskedAfter, 1)
      return row.map((_, place) => (end >= 0 && place > end ? 0 : 1))
    })
    return { ...feeds, attention_mask: { data: mask, dims } }
  }

  async #hiddenState(fromEnd: number): Promise<string> {
    if (this.#hiddenStates().length === 0) await this.#showHiddenStates()
    const name = this.#hiddenStates().at(-1 - fromEnd)
    if (name !== undefined) return name
    throw new EngineError(
      'argument',
      `The ${this.model.part} has no hidden state ${fromEnd} from the end; choose a lower clipSkip, or leave it out.`,
    )
  }

  /** In order, where the graph gives them out; the last is the final layer's. */
  #hiddenStates(): string[] {
    const names = [...this.model.outputs.keys()]
    const exposed = names.filter((name) => name.startsWith(EXPOSED))
    const shown = exposed.length > 0 ? exposed : names.filter((name) => /^hidden_states[._]\d+$/.test(name))
    return shown.sort((a, b) => layer(a) - layer(b))
  }

  /** Exports of SD 1 and 2 keep them inside. */
  async #showHiddenStates(): Promise<void> {
    const lastHiddenState = this.#lastHiddenState()
    await this.model.setRewrite('hidden-states', exposeHiddenStates(lastHiddenState))
  }

  #finalNorm(): LayerNorm {
    const { norm } = this.#layers()
    if (norm) return norm
    throw new EngineError('argument', `The ${this.model.part} does not show its final layer norm; leave clipSkip out.`)
  }

  #layers(): Layers {
    const { source } = this.model
    if (this.#read?.source !== source) this.#read = readLayers(source, this.#lastHiddenState(), this.#epsilon)
    return this.#read
  }

  #lastHiddenState(): string {
    return this.model.outputs.has('last_hidden_state') ? 'last_hidden_state' : [...this.model.outputs.keys()][0]!
  }
}

function layer(name: string): number {
  return Number(/\d+$/.exec(name)![0])
}

function readLayers(source: GraphSource, lastHiddenState: string, epsilon: number): Layers {
  const surroundings = new Surroundings(source.read())
  const norm = readLayerNorm(surroundings, lastHiddenState, epsilon)
  return { source, norm, hiddenStates: findHiddenStates(surroundings, lastHiddenState).length }
}
