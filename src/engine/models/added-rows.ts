/** A text encoder's rows for the words of textual inversions: opened when first needed, then fed. */

import type { Rewrite } from '../graph/graph-source.ts'
import { DataType } from '../graph/onnx-schema.ts'
import {
  ADDED_ROWS,
  findTokenTable,
  noTokenTable,
  rewriteTextualInversion,
} from '../graph/rewrite-textual-inversion.ts'
import type { AddedVectors } from '../weights/textual-inversion.ts'
import type { Feeds, OnnxRuntimeModel } from './onnx-runtime-model.ts'

/** Numbers in a row, and the first id that is none of the encoder's own. */
export interface TableSize {
  readonly width: number
  readonly firstId: number
}

export class AddedRows {
  readonly #model: OnnxRuntimeModel
  readonly #ids: string
  #rewrite: Rewrite | undefined
  #size: TableSize | undefined
  #feeds: Feeds | undefined

  /** @param ids The input of token ids. */
  constructor(model: OnnxRuntimeModel, ids: string) {
    this.#model = model
    this.#ids = ids
  }

  /** @throws EngineError 'model' where the graph does not tell it. */
  get size(): TableSize {
    if (this.#size) return this.#size
    const { source } = this.#model
    const table = findTokenTable(source.read(), this.#ids)
    if (!table) throw noTokenTable(source.path)
    this.#size = { width: table.width, firstId: table.rows }
    return this.#size
  }

  /** Opens the model with room for rows, once. @throws EngineError */
  async enable(): Promise<void> {
    const type = this.#model.inputs.get(this.#ids)?.type === 'int32' ? DataType.INT32 : DataType.INT64
    this.#rewrite ??= rewriteTextualInversion(this.#ids, type)
    await this.#model.setRewrite('textual-inversion', this.#rewrite)
  }

  /** The rows from now on, in the order of their ids. */
  set rows(vectors: readonly AddedVectors[]) {
    const { width } = this.size
    const count = vectors.reduce((sum, { data }) => sum + data.length / width, 0)
    // A table without rows cannot be looked at.
    const data = new Float32Array(Math.max(1, count) * width)
    let at = 0
    for (const one of vectors) {
      data.set(one.data, at)
      at += one.data.length
    }
    this.#feeds = { [ADDED_ROWS]: { data, dims: [data.length / width, width] } }
  }

  get feeds(): Feeds {
    return this.#feeds ?? {}
  }
}
