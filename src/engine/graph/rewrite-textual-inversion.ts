/** Gives a text encoder's table of tokens more rows, as an input: vectors come and go while the model stays open. */

import { EngineError } from '../errors.ts'
import { int } from './attributes.ts'
import type { Rewrite } from './graph-source.ts'
import { inputField } from './onnx-bytes.ts'
import type { Initializer, OnnxGraph } from './onnx-file.ts'
import { DataType, type NodeProto } from './onnx-schema.ts'
import { Surroundings } from './surroundings.ts'

/** The further rows' name as an input, [rows, width] in float32, at least one. Ids from the table's own size on mean these. */
export const ADDED_ROWS = 'textual_inversion.rows'

export interface TokenTable {
  readonly rows: number
  readonly width: number
  /** Looks the rows up. */
  readonly gather: NodeProto
  /** What carries them on, and its number type: the lookup itself, or what retypes it. */
  readonly embedded: NodeProto
  readonly type: number
}

/** Nothing where the graph has another form. @param ids The input of token ids. */
export function findTokenTable(graph: OnnxGraph, ids: string): TokenTable | undefined {
  const surroundings = new Surroundings(graph)
  for (const gather of graph.nodes) {
    if (gather.opType !== 'Gather' || !isMadeOf(gather.input[1]!, ids, surroundings)) continue
    const table = surroundings.initializer(gather.input[0]!)?.tensor
    if (table?.dims.length !== 2) continue
    const cast = surroundings.onlyConsumer(gather)
    const isCast = cast?.opType === 'Cast'
    const type = surroundings.weightType(isCast ? cast.output[0]! : gather.input[0]!) ?? DataType.FLOAT
    return { rows: table.dims[0]!, width: table.dims[1]!, gather, embedded: isCast ? cast : gather, type }
  }
  return undefined
}

export function noTokenTable(path: string): EngineError {
  return new EngineError(
    'model',
    `${path} does not tell its table of tokens, so no textual inversion can be used with it; open the model from PyTorch's weights, or export it anew with optimum.`,
  )
}

/** Whether a value is the ids themselves, in another shape or number type. */
function isMadeOf(name: string, ids: string, surroundings: Surroundings): boolean {
  for (let value = name; ; ) {
    if (value === ids) return true
    const maker = surroundings.producer(value)
    if (!maker || !['Reshape', 'Cast', 'Identity', 'Flatten'].includes(maker.opType)) return false
    value = maker.input[0]!
  }
}

/**
 * Added ids are looked up in the further rows, and everything else in the graph sees token 0 in their place: the end token
 * stays the highest id, by which older models find it.
 * @param ids The input of token ids. @param idType Its number type.
 */
export function rewriteTextualInversion(ids: string, idType: number): Rewrite {
  return {
    inputs: ADDED_ROWS,
    apply(graph, path) {
      const table = findTokenTable(graph, ids)
      if (!table) throw noTokenTable(path)
      const own = 'textual_inversion.own_ids'
      const nodes = graph.nodes.flatMap((node) => {
        const renamed = node.input.includes(ids)
          ? { ...node, input: node.input.map((name) => (name === ids ? own : name)) }
          : node
        return node === table.embedded ? withAddedRows(renamed, table) : [renamed]
      })
      return {
        ...graph,
        nodes: [...ownIds(ids, own, idType), ...nodes],
        initializers: [...graph.initializers, ...constants(table.rows)],
        graphRest: [...graph.graphRest, inputField(ADDED_ROWS, DataType.FLOAT, ['added rows', table.width])],
      }
    },
  }
}

const [ROWS, ZERO, ONE] = ['textual_inversion.table_rows', 'textual_inversion.0', 'textual_inversion.1']
const [WHOLE, IS_OWN] = ['textual_inversion.ids', 'textual_inversion.is_own']

function ownIds(ids: string, own: string, idType: number): NodeProto[] {
  return [
    { opType: 'Cast', input: [ids], output: [WHOLE], attribute: [int('to', DataType.INT64)] },
    { opType: 'Less', input: [WHOLE, ROWS], output: [IS_OWN], attribute: [] },
    { opType: 'Where', input: [IS_OWN, WHOLE, ZERO], output: [`${own}.whole`], attribute: [] },
    { opType: 'Cast', input: [`${own}.whole`], output: [own], attribute: [int('to', idType)] },
  ]
}

/** The node that carries the looked up rows, and the choice between them and the added ones, under its name. */
function withAddedRows(node: NodeProto, { gather, type }: TokenTable): NodeProto[] {
  const output = node.output[0]!
  const name = (what: string) => `textual_inversion.${what}`
  const nodes: NodeProto[] = [{ ...node, output: [name('own')] }]
  const add = (opType: string, input: string[], made: string, attribute: NodeProto['attribute'] = []) => {
    nodes.push({ opType, input, output: [made], attribute })
    return made
  }
  // The ids may be looked up in another shape than they came in.
  const shape = add('Shape', [gather.input[1]!], name('shape'))
  const index = add('Where', [IS_OWN, ZERO, add('Sub', [WHOLE, ROWS], name('offset'))], name('index'))
  const added = add('Gather', [ADDED_ROWS, add('Reshape', [index, shape], name('shaped_index'))], name('added'))
  const typed = type === DataType.FLOAT ? added : add('Cast', [added], name('typed'), [int('to', type)])
  const column = add('Concat', [shape, ONE], name('column'), [int('axis', 0)])
  add('Where', [add('Reshape', [IS_OWN, column], name('mask')), name('own'), typed], output)
  return nodes
}

function constants(rows: number): Initializer[] {
  const whole = (name: string, value: number, dims: number[]) => ({
    tensor: { name, dims, dataType: DataType.INT64, int64Data: [value] },
  })
  return [whole(ROWS, rows, []), whole(ZERO, 0, []), whole(ONE, 1, [1])]
}
