/** The part of ONNX's protobuf schema that graph rewriting touches (onnx/onnx.proto, field numbers as there). */

import protobuf from 'protobufjs/light.js'

const field = (id: number, type: string) => ({ id, type })
const repeated = (id: number, type: string) => ({ id, type, rule: 'repeated' })

const root = protobuf.Root.fromJSON({
  nested: {
    StringStringEntryProto: { fields: { key: field(1, 'string'), value: field(2, 'string') } },
    OperatorSetIdProto: { fields: { domain: field(1, 'string'), version: field(2, 'int64') } },
    TensorProto: {
      fields: {
        dims: repeated(1, 'int64'),
        dataType: field(2, 'int32'),
        floatData: repeated(4, 'float'),
        int32Data: repeated(5, 'int32'),
        stringData: repeated(6, 'bytes'),
        int64Data: repeated(7, 'int64'),
        name: field(8, 'string'),
        rawData: field(9, 'bytes'),
        doubleData: repeated(10, 'double'),
        uint64Data: repeated(11, 'uint64'),
        externalData: repeated(13, 'StringStringEntryProto'),
        dataLocation: field(14, 'int32'),
      },
    },
    AttributeProto: {
      fields: {
        name: field(1, 'string'),
        f: field(2, 'float'),
        i: field(3, 'int64'),
        s: field(4, 'bytes'),
        t: field(5, 'TensorProto'),
        g: field(6, 'GraphProto'),
        ints: repeated(8, 'int64'),
        type: field(20, 'int32'),
      },
    },
    NodeProto: {
      fields: {
        input: repeated(1, 'string'),
        output: repeated(2, 'string'),
        name: field(3, 'string'),
        opType: field(4, 'string'),
        attribute: repeated(5, 'AttributeProto'),
        domain: field(7, 'string'),
      },
    },
    Dimension: { fields: { dimValue: field(1, 'int64'), dimParam: field(2, 'string') } },
    TensorShapeProto: { fields: { dim: repeated(1, 'Dimension') } },
    TensorTypeProto: { fields: { elemType: field(1, 'int32'), shape: field(2, 'TensorShapeProto') } },
    TypeProto: { fields: { tensorType: field(1, 'TensorTypeProto') } },
    ValueInfoProto: { fields: { name: field(1, 'string'), type: field(2, 'TypeProto') } },
    GraphProto: {
      fields: {
        node: repeated(1, 'NodeProto'),
        name: field(2, 'string'),
        initializer: repeated(5, 'TensorProto'),
        input: repeated(11, 'ValueInfoProto'),
        output: repeated(12, 'ValueInfoProto'),
      },
    },
  },
})

/** `TensorProto.DataType`. */
export const DataType = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  INT32: 6,
  INT64: 7,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E5M2: 19,
} as const

/** `AttributeProto.AttributeType`. */
export const AttributeType = { FLOAT: 1, INT: 2, STRING: 3, TENSOR: 4, GRAPH: 5, INTS: 7 } as const

export interface TensorProto {
  dims: number[]
  dataType: number
  floatData?: number[]
  int32Data?: number[]
  int64Data?: number[]
  name?: string
  rawData?: Uint8Array
  externalData?: { key: string; value: string }[]
  /** 1 = EXTERNAL. */
  dataLocation?: number
}

export interface AttributeProto {
  name: string
  type: number
  f?: number
  i?: number
  s?: Uint8Array
  ints?: number[]
  t?: TensorProto
  g?: GraphProto
}

export interface NodeProto {
  input: string[]
  output: string[]
  name?: string
  opType: string
  attribute: AttributeProto[]
  domain?: string
}

export interface ValueInfoProto {
  name: string
  /** A `shape` without `dim` is a scalar's. */
  type?: { tensorType: { elemType: number; shape: { dim?: Dimension[] } } }
}

/** A number, or the name of one that is known when the graph runs. */
export type Dimension = { dimValue: number } | { dimParam: string }

export interface GraphProto {
  node: NodeProto[]
  name: string
  initializer: TensorProto[]
  input: ValueInfoProto[]
  output: ValueInfoProto[]
}

export interface OperatorSetIdProto {
  domain?: string
  version: number
}

/** A message type: bytes to plain objects (whole numbers as `number`) and back. */
function codec<T extends object>(name: string) {
  const type = root.lookupType(name)
  return {
    decode: (bytes: Uint8Array) => type.toObject(type.decode(bytes), { longs: Number, arrays: true }) as T,
    encode: (message: T) => type.encode(type.fromObject(message)).finish(),
  }
}

export const nodeProto = codec<NodeProto>('NodeProto')
export const tensorProto = codec<TensorProto>('TensorProto')
export const valueInfoProto = codec<ValueInfoProto>('ValueInfoProto')
export const operatorSetIdProto = codec<OperatorSetIdProto>('OperatorSetIdProto')
