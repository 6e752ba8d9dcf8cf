/** Attributes of nodes. */

import { type AttributeProto, AttributeType } from './onnx-schema.ts'

export function int(name: string, i: number): AttributeProto {
  return { name, type: AttributeType.INT, i }
}

export function ints(name: string, values: readonly number[]): AttributeProto {
  return { name, type: AttributeType.INTS, ints: [...values] }
}

export function float(name: string, f: number): AttributeProto {
  return { name, type: AttributeType.FLOAT, f }
}

export function string(name: string, value: string): AttributeProto {
  return { name, type: AttributeType.STRING, s: Buffer.from(value) }
}
