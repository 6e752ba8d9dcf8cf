/** Old repositories hold CLIP's tokenizer as `vocab.json` and `merges.txt`: this is the `tokenizer.json` that they mean. */

/** The part of a `tokenizer.json` that this room looks at. */
export interface TokenizerJson {
  readonly normalizer?: unknown
  readonly pre_tokenizer?: unknown
  readonly [key: string]: unknown
}

/** CLIP's words (openai/CLIP `simple_tokenizer.py`), as transformers' conversion to a fast tokenizer writes them. */
const WORDS = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"

const SPECIAL_TOKENS = ['<|startoftext|>', '<|endoftext|>']

export function clipTokenizerJson(vocab: Record<string, number>, merges: string): TokenizerJson {
  return {
    version: '1.0',
    added_tokens: SPECIAL_TOKENS.filter((content) => content in vocab).map((content) => ({
      id: vocab[content],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<|endoftext|>',
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab,
      merges: mergeRules(merges),
    },
  }
}

/** One pair a line after an optional `#version` line. */
function mergeRules(merges: string): [string, string][] {
  return merges
    .split('\n')
    .filter((line, index) => line.includes(' ') && !(index === 0 && line.startsWith('#version')))
    .map((line) => {
      const space = line.indexOf(' ')
      return [line.slice(0, space), line.slice(space + 1).trimEnd()]
    })
}
