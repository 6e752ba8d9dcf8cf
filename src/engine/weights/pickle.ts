/**
 * A pickle read as data. Python's unpickler imports what a pickle names and calls it; here a name is a name, and what the
 * pickle wants called is made by a `PickleReader`, or refused. Opcodes: CPython's Lib/pickletools.py; protocols 2 to 5.
 */

import { type PickleValue, PyGlobal, PyObject, PyTuple } from './pickle-values.ts'

/** What a pickle may make beside numbers, texts, lists and maps. */
export interface PickleReader {
  /** What calling `name` would give; throws where that name is not known. */
  call(name: string, args: readonly PickleValue[]): PickleValue
  /** What the program that wrote the pickle keeps elsewhere. */
  persistent(id: PickleValue): PickleValue
}

/** The pickle is damaged or malicious; `message` goes on from "its pickle". */
export class PickleError extends Error {}

/** A checkpoint of SDXL with its EMA takes 300,000; what is built in so many steps fits in memory. */
const MOST_STEPS = 1_000_000
const MOST_ON_STACK = 200_000
const LONGEST_INTEGER = 16

/** @throws PickleError when it is damaged or too long, and whatever `reader` throws. */
export function readPickle(bytes: Buffer, reader: PickleReader): PickleValue {
  return new PickleMachine(bytes, reader).run()
}

type Operation = (machine: PickleMachine) => void

class PickleMachine {
  readonly #bytes: Buffer
  readonly #reader: PickleReader
  readonly #stack: PickleValue[] = []
  readonly #marks: number[] = []
  readonly #memo = new Map<number, PickleValue>()
  #at = 0
  #steps = 0

  constructor(bytes: Buffer, reader: PickleReader) {
    this.#bytes = bytes
    this.#reader = reader
  }

  run(): PickleValue {
    while (true) {
      this.#spend(1)
      const code = this.uint(1)
      if (code === STOP) return this.pop()
      const operation = OPERATIONS.get(code)
      if (!operation) throw new PickleError(`has the unknown opcode 0x${code.toString(16)} at byte ${this.#at - 1}`)
      operation(this)
      if (this.#stack.length > MOST_ON_STACK) throw new PickleError('is too large')
    }
  }

  #spend(steps: number): void {
    this.#steps += steps
    if (this.#steps > MOST_STEPS) throw new PickleError('is too long')
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new PickleError('is cut off')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  uint(width: 1 | 2 | 4 | 8): number {
    const bytes = this.take(width)
    return width === 8 ? Number(bytes.readBigUInt64LE()) : bytes.readUIntLE(0, width)
  }

  text(width: 1 | 4 | 8): string {
    return this.take(this.uint(width)).toString('utf8')
  }

  line(): string {
    const end = this.#bytes.indexOf('\n', this.#at)
    if (end < 0) throw new PickleError('is cut off')
    const line = this.take(end - this.#at).toString('utf8')
    this.#at++
    return line
  }

  push(value: PickleValue): void {
    this.#stack.push(value)
  }

  pop(): PickleValue {
    // What lies under a mark belongs to another object.
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw new PickleError('takes more than it has')
    return this.#stack.pop()!
  }

  top(): PickleValue {
    const value = this.pop()
    this.push(value)
    return value
  }

  mark(): void {
    this.#marks.push(this.#stack.length)
  }

  popToMark(): PickleValue[] {
    const mark = this.#marks.pop()
    if (mark === undefined) throw new PickleError('takes more than it has')
    return this.#stack.splice(mark)
  }

  popTuple(): readonly PickleValue[] {
    const tuple = this.pop()
    if (!(tuple instanceof PyTuple)) throw new PickleError('calls something without a list of arguments')
    return tuple.items
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top())
  }

  recall(index: number): void {
    const value = this.#memo.get(index)
    if (value === undefined) throw new PickleError('refers to something that it does not hold')
    this.push(value)
  }

  call(callee: PickleValue, args: readonly PickleValue[]): void {
    if (!(callee instanceof PyGlobal)) throw new PickleError('calls something that has no name')
    // What is called may copy what it is given, which one byte can name again.
    for (const arg of args) this.#spend(sizeOf(arg))
    this.push(this.#reader.call(callee.name, args))
  }

  persistent(): void {
    this.push(this.#reader.persistent(this.pop()))
  }
}

function sizeOf(value: PickleValue): number {
  if (value instanceof Map) return value.size
  if (value instanceof PyTuple) return value.items.length
  return Array.isArray(value) ? value.length : 0
}

function append(machine: PickleMachine, items: readonly PickleValue[]): void {
  const list = machine.top()
  if (Array.isArray(list)) for (const item of items) list.push(item)
  else if (!(list instanceof PyObject)) throw new PickleError('appends to something that is no list')
}

function setItems(machine: PickleMachine, items: readonly PickleValue[]): void {
  const map = machine.top()
  if (items.length % 2 !== 0) throw new PickleError('has a key without a value')
  if (map instanceof Map) for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!)
  else if (!(map instanceof PyObject)) throw new PickleError('sets keys of something that has none')
}

/** A state is kept, never given to code. */
function build(machine: PickleMachine): void {
  const state = machine.pop()
  const object = machine.top()
  if (object instanceof PyObject) object.state = state
}

function integer(bytes: Buffer): number | bigint {
  if (bytes.length > LONGEST_INTEGER) throw new PickleError(`has an integer of ${bytes.length} bytes`)
  let value = 0n
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte)
  value = BigInt.asIntN(bytes.length * 8, value)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function tuple(machine: PickleMachine, count: number): void {
  const items = Array.from({ length: count }, () => machine.pop())
  machine.push(new PyTuple(items.reverse()))
}

function stackGlobal(machine: PickleMachine): void {
  const [name, module] = [machine.pop(), machine.pop()]
  if (typeof name !== 'string' || typeof module !== 'string') throw new PickleError('names something without a text')
  machine.push(new PyGlobal(module, name))
}

/** `cls.__new__(cls, *args)`, with keywords or without. */
function newObject(machine: PickleMachine, hasKeywords: boolean): void {
  if (hasKeywords) machine.pop()
  const args = machine.popTuple()
  machine.call(machine.pop(), args)
}

const STOP = 0x2e

/** By opcode, under CPython's names. Those that are missing are of text protocols, or of extensions that a program registers. */
const OPERATIONS: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  [0x80, (m) => void m.uint(1)], // PROTO
  [0x95, (m) => void m.uint(8)], // FRAME
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popToMark()], // POP_MARK
  [0x32, (m) => m.push(m.top())], // DUP
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4b, (m) => m.push(m.uint(1))], // BININT1
  [0x4d, (m) => m.push(m.uint(2))], // BININT2
  [0x4a, (m) => m.push(m.take(4).readInt32LE())], // BININT
  [0x8a, (m) => m.push(integer(m.take(m.uint(1))))], // LONG1
  [0x8b, (m) => m.push(integer(m.take(m.uint(4))))], // LONG4
  [0x47, (m) => m.push(m.take(8).readDoubleBE())], // BINFLOAT
  [0x58, (m) => m.push(m.text(4))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(1))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(8))], // BINUNICODE8
  [0x54, (m) => m.push(m.text(4))], // BINSTRING
  [0x55, (m) => m.push(m.text(1))], // SHORT_BINSTRING
  [0x42, (m) => m.push(m.take(m.uint(4)))], // BINBYTES
  [0x43, (m) => m.push(m.take(m.uint(1)))], // SHORT_BINBYTES
  [0x8e, (m) => m.push(m.take(m.uint(8)))], // BINBYTES8
  [0x96, (m) => m.push(m.take(m.uint(8)))], // BYTEARRAY8
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x6c, (m) => m.push(m.popToMark())], // LIST
  [0x61, (m) => append(m, [m.pop()])], // APPEND
  [0x65, (m) => append(m, m.popToMark())], // APPENDS
  [0x29, (m) => tuple(m, 0)], // EMPTY_TUPLE
  [0x85, (m) => tuple(m, 1)], // TUPLE1
  [0x86, (m) => tuple(m, 2)], // TUPLE2
  [0x87, (m) => tuple(m, 3)], // TUPLE3
  [0x74, (m) => m.push(new PyTuple(m.popToMark()))], // TUPLE
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x73, (m) => setItems(m, [m.pop(), m.pop()].reverse())], // SETITEM
  [0x75, (m) => setItems(m, m.popToMark())], // SETITEMS
  [0x8f, (m) => m.push(new PyObject('builtins.set'))], // EMPTY_SET
  [0x90, (m) => append(m, m.popToMark())], // ADDITEMS
  [0x91, (m) => m.push(new PyTuple(m.popToMark()))], // FROZENSET
  [0x71, (m) => m.remember(m.uint(1))], // BINPUT
  [0x72, (m) => m.remember(m.uint(4))], // LONG_BINPUT
  [0x94, (m) => m.remember()], // MEMOIZE
  [0x68, (m) => m.recall(m.uint(1))], // BINGET
  [0x6a, (m) => m.recall(m.uint(4))], // LONG_BINGET
  [0x63, (m) => m.push(new PyGlobal(m.line(), m.line()))], // GLOBAL
  [0x93, stackGlobal], // STACK_GLOBAL
  [0x51, (m) => m.persistent()], // BINPERSID
  [0x52, (m) => newObject(m, false)], // REDUCE
  [0x81, (m) => newObject(m, false)], // NEWOBJ
  [0x92, (m) => newObject(m, true)], // NEWOBJ_EX
  [0x62, build], // BUILD
])
