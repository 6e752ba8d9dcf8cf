/** Words that textual inversions add to a tokenizer. */

/** A word, and an id for each of its vectors. */
export interface AddedToken {
  readonly content: string
  readonly ids: readonly number[]
}

/** A word that was found among tokens. */
export interface FoundToken {
  readonly ids: readonly number[]
  /** How many tokens its text takes there. */
  readonly length: number
}

/** @param tokenize The tokens of a text, without any of these. */
export class AddedTokens {
  readonly #tokens: readonly AddedToken[]
  /** diffusers' names of all vectors: `<cat>`, `<cat>_1`, `<cat>_2` … */
  readonly #idByName: ReadonlyMap<string, number>
  readonly #pattern: RegExp | undefined
  readonly #tokenize: (text: string) => readonly number[]
  #byFirst: ReadonlyMap<number, readonly (AddedToken & { readonly written: readonly number[] })[]> | undefined

  constructor(tokens: readonly AddedToken[], tokenize: (text: string) => readonly number[]) {
    this.#tokens = tokens
    this.#tokenize = tokenize
    this.#idByName = new Map(
      tokens.flatMap(({ content, ids }) => ids.map((id, i) => [i === 0 ? content : `${content}_${i}`, id] as const)),
    )
    // The longest first: of several that begin at one place, that one counts.
    const names = [...this.#idByName.keys()].sort((a, b) => b.length - a.length)
    if (names.length > 0) this.#pattern = new RegExp(names.map(escaped).join('|'), 'g')
  }

  /** Whether there are any. */
  get any(): boolean {
    return this.#tokens.length > 0
  }

  has(name: string): boolean {
    return this.#idByName.has(name)
  }

  /**
   * As transformers splits a text: each name where it stands, even inside a word, in its own case; several vectors stand for
   * a word alone, as diffusers' `maybe_convert_prompt` has it.
   * @returns Texts, and ids of what was found between them.
   */
  split(text: string): (string | number)[] {
    if (!this.#pattern) return [text]
    const parts: (string | number)[] = []
    let from = 0
    const converted = this.#withAllVectors(text)
    for (const { 0: name, index } of converted.matchAll(this.#pattern)) {
      parts.push(converted.slice(from, index), this.#idByName.get(name)!)
      from = index + name.length
    }
    return [...parts, converted.slice(from)]
  }

  /** As AUTOMATIC1111 finds them: where the tokens of a name stand, however they are written. The longest counts. */
  at(tokens: readonly number[], position: number): FoundToken | undefined {
    this.#byFirst ??= this.#tokenized()
    const found = this.#byFirst
      .get(tokens[position]!)
      ?.find(({ written }) => written.every((id, i) => tokens[position + i] === id))
    return found && { ids: found.ids, length: found.written.length }
  }

  #withAllVectors(text: string): string {
    const found = new Set([...text.matchAll(this.#pattern!)].map(([name]) => name))
    const several = this.#tokens.filter(({ content, ids }) => ids.length > 1 && found.has(content))
    return several.reduce((converted, { content, ids }) => {
      const names = ids.map((_, i) => (i === 0 ? content : `${content}_${i}`))
      return converted.replaceAll(content, () => names.join(' '))
    }, text)
  }

  #tokenized() {
    const byFirst = new Map<number, (AddedToken & { readonly written: readonly number[] })[]>()
    for (const token of this.#tokens) {
      const written = this.#tokenize(token.content)
      const [first] = written
      if (first !== undefined) byFirst.set(first, [...(byFirst.get(first) ?? []), { ...token, written }])
    }
    for (const list of byFirst.values()) list.sort((a, b) => b.written.length - a.written.length)
    return byFirst
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
