/**
 * The JSON in a .safetensors file's head, read as the format allows it and no wider: no nesting, no key twice, no number but
 * whole ones. So a hostile head is refused at its first wrong byte, before it costs time or memory.
 */

/** As written in the file; nothing is checked against anything yet. */
export interface HeaderEntry {
  readonly dtype: string
  readonly shape: readonly number[]
  /** From the end of the head. */
  readonly begin: number
  readonly end: number
}

export interface Header {
  readonly entries: ReadonlyMap<string, HeaderEntry>
  readonly metadata: ReadonlyMap<string, string>
}

/** `message` goes on from "its header". */
export class HeaderError extends Error {}

/** A checkpoint of SDXL with its EMA has 5,000 tensors. */
const MOST_ENTRIES = 100_000
const LONGEST_NAME = 4096
/** torch allows no more. */
const HIGHEST_RANK = 64

/** @throws HeaderError */
export function readHeader(bytes: Buffer): Header {
  const json = new JsonReader(bytes)
  const entries = new Map<string, HeaderEntry>()
  let metadata: ReadonlyMap<string, string> | undefined
  for (const name of json.keys(LONGEST_NAME)) {
    if (name === '__metadata__') {
      if (metadata) throw new HeaderError('has its metadata twice')
      metadata = readMetadata(json)
    } else {
      if (entries.has(name)) throw new HeaderError(`has a tensor twice: ${name}`)
      if (entries.size === MOST_ENTRIES) throw new HeaderError(`names more than ${MOST_ENTRIES} tensors`)
      entries.set(name, readEntry(json))
    }
  }
  json.end()
  return { entries, metadata: metadata ?? new Map() }
}

function readMetadata(json: JsonReader): Map<string, string> {
  const metadata = new Map<string, string>()
  for (const key of json.keys(LONGEST_NAME)) {
    if (metadata.has(key)) throw new HeaderError(`has a key of its metadata twice: ${key}`)
    if (metadata.size === MOST_ENTRIES) throw new HeaderError(`has more than ${MOST_ENTRIES} keys in its metadata`)
    metadata.set(key, json.string())
  }
  return metadata
}

function readEntry(json: JsonReader): HeaderEntry {
  let dtype: string | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  for (const key of json.keys(LONGEST_NAME)) {
    if (key === 'dtype' && dtype === undefined) dtype = json.string()
    else if (key === 'shape' && !shape) shape = json.integers(HIGHEST_RANK)
    else if (key === 'data_offsets' && !offsets) offsets = json.integers(2)
    else throw new HeaderError(`says something of a tensor that the format does not know: ${key}`)
  }
  const [begin, end] = offsets ?? []
  if (dtype === undefined || !shape || begin === undefined || end === undefined)
    throw new HeaderError('does not give each tensor a dtype, a shape and two data_offsets')
  return { dtype, shape, begin, end }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** One token after the other; what comes next is asked for, so nothing recurses. */
class JsonReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** The keys of an object; the caller reads each one's value before it asks for the next key. */
  *keys(longest: number): Generator<string> {
    this.#expect('{')
    if (this.#next('}')) return
    do {
      const key = this.string(longest)
      this.#expect(':')
      yield key
    } while (this.#next(','))
    this.#expect('}')
  }

  string(longest = Number.POSITIVE_INFINITY): string {
    this.#expect('"')
    const start = this.#at - 1
    const bytes = this.#bytes
    let at = this.#at
    while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
    if (at >= bytes.length) throw new HeaderError('ends in the middle of a string')
    if (at - start > longest) throw new HeaderError(`has a name longer than ${longest} bytes`)
    this.#at = at + 1
    try {
      return JSON.parse(bytes.toString('utf8', start, this.#at)) as string
    } catch {
      throw new HeaderError('has a string that is no JSON')
    }
  }

  /** A list of whole numbers from 0 on. */
  integers(most: number): number[] {
    const numbers: number[] = []
    this.#expect('[')
    if (this.#next(']')) return numbers
    do {
      if (numbers.length === most) throw new HeaderError(`has a list longer than ${most}`)
      numbers.push(this.#integer())
    } while (this.#next(','))
    this.#expect(']')
    return numbers
  }

  /** Only white space may follow. */
  end(): void {
    this.#skipWhite()
    if (this.#at < this.#bytes.length) throw new HeaderError('goes on after its end')
  }

  #integer(): number {
    this.#skipWhite()
    const digits = /^\d+(?![\d.eE])/.exec(this.#bytes.toString('latin1', this.#at, this.#at + 20))?.[0]
    const value = Number(digits)
    if (digits === undefined || !Number.isSafeInteger(value) || String(value) !== digits)
      throw new HeaderError('has something else than a whole, not negative number in a shape or an offset')
    this.#at += digits.length
    return value
  }

  #expect(token: string): void {
    if (!this.#next(token)) throw new HeaderError(`is no JSON of a safetensors file at byte ${this.#at}`)
  }

  #next(token: string): boolean {
    this.#skipWhite()
    if (this.#bytes[this.#at] !== token.charCodeAt(0)) return false
    this.#at++
    return true
  }

  #skipWhite(): void {
    const bytes = this.#bytes
    let at = this.#at
    while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
    this.#at = at
  }
}
