/** CLIP's text encoder: token ids to the hidden states that condition the UNet. */

import { EngineError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { type LayerNorm, readLayerNorm } from './layer-norm.ts'
import type { OnnxRuntimeModel } from './onnx-runtime-model.ts'
import type { Config } from './pipeline-folder.ts'

export interface TextEncoding {
  /** `[rows, tokens, width]`. */
  readonly hiddenStates: Tensor
  /** SDXL's second encoder: `[rows, width]`. */
  readonly textEmbeds?: Tensor
}

export class CLIPTextModel {
  readonly model: OnnxRuntimeModel
  /** Where `config.json` asks for an attention mask: the id after which a row is padding. */
  readonly #maskedAfter: number | undefined
  /** `hidden_states.0` … `hidden_states.N`, where the export has them; the last is the final layer's. */
  readonly #hiddenStates: readonly string[]
  readonly #inputIds: string
  readonly #epsilon: number
  #norm: LayerNorm | undefined

  constructor(model: OnnxRuntimeModel, config: Config) {
    this.model = model
    this.#maskedAfter = config.use_attention_mask === true ? Number(config.eos_token_id) : undefined
    this.#hiddenStates = [...model.outputs.keys()]
      .filter((name) => /^hidden_states[._]\d+$/.test(name))
      .sort((a, b) => layer(a) - layer(b))
    this.#epsilon = typeof config.layer_norm_eps === 'number' ? config.layer_norm_eps : 1e-5
    this.#inputIds = model.inputs.has('input_ids') ? 'input_ids' : [...model.inputs.keys()][0]!
  }

  /**
   * @param ids One row a text, all of one length.
   * @param fromEnd Which hidden state: 0 = the normalised output of the last layer, 1 = the layer before's, …
   * @param normalised Whether an earlier layer's output goes through the final layer norm too, as SD 1 and 2 want it.
   * @throws EngineError 'argument' when the export does not have that hidden state.
   */
  async encode(ids: readonly (readonly number[])[], fromEnd = 0, normalised = false): Promise<TextEncoding> {
    const hidden = fromEnd === 0 ? this.#lastHiddenState() : this.#hiddenStates.at(-1 - fromEnd)
    if (hidden === undefined)
      throw new EngineError(
        'argument',
        `The ${this.model.part} was exported without hidden state ${fromEnd} from the end; leave clipSkip out, or export the` +
          ` model with "output_hidden_states": true in its ${this.model.part}/config.json.`,
      )
    const pooled = this.model.outputs.has('text_embeds') ? ['text_embeds'] : []
    const [states, textEmbeds] = await this.model.run(this.#feeds(ids), [hidden, ...pooled])
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

  #finalNorm(): LayerNorm {
    this.#norm ??= readLayerNorm(this.model.path, this.#lastHiddenState(), this.#epsilon)
    if (this.#norm) return this.#norm
    throw new EngineError('argument', `The ${this.model.part} does not show its final layer norm; leave clipSkip out.`)
  }

  #lastHiddenState(): string {
    return this.model.outputs.has('last_hidden_state') ? 'last_hidden_state' : [...this.model.outputs.keys()][0]!
  }
}

function layer(name: string): number {
  return Number(/\d+$/.exec(name)![0])
}
