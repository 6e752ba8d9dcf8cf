/** A file of weights, whatever it is called: its first bytes tell what it is. */

import { type ByteFile, withFile } from './byte-file.ts'
import { PREFIX, readSafetensors } from './safetensors.ts'
import type { WeightFile } from './tensor-map.ts'
import { isZip, readTorchFile } from './torch-file.ts'
import { weightError } from './weight-error.ts'

/**
 * Opens one file in the safetensors format, or in the zip form of PyTorch (.bin, .ckpt, .pt, .pth). Only what says where the
 * tensors lie is read; nothing is executed, and nothing in the file is trusted.
 *
 * @throws EngineError 'model' when there is no such file, when it is something else or damaged: one sentence that says what
 *   it is and what to do.
 */
export function openWeightFile(path: string): WeightFile {
  const { head, size } = withFile(path, (file) => ({ head: firstBytes(file), size: file.size }))
  if (isZip(head)) return readTorchFile(path)
  const other = whatItIs(head, size)
  if (other) throw weightError(path, other)
  return readSafetensors(path)
}

/** The tar of PyTorch before 0.2 has its mark at 257. */
const LOOKED_AT = 512

function firstBytes(file: ByteFile): Buffer {
  return file.read(0, Math.min(LOOKED_AT, file.size))
}

const DOWNLOAD_AGAIN = 'download the file itself, and give a token or a login where the site asks for one'
const OTHER_FORMAT = 'give a .safetensors file, or a .ckpt, .bin or .pt of PyTorch'
const CONVERT =
  "convert it once where PyTorch is: python -c \"import torch; torch.save(torch.load('OLD', map_location='cpu'), 'NEW')\""

interface Kind {
  /** What the file begins with, read as letters … */
  readonly text?: RegExp
  /** … or as bytes, each two hexadecimal digits. */
  readonly hex?: RegExp
  /** The rest of the sentence about it. */
  readonly what: string
}

/** What people take for weights, or were given in place of them. The first that fits tells. */
const KINDS: readonly Kind[] = [
  {
    text: /^version https:\/\/git-lfs\./,
    what: 'is the pointer of Git LFS and not the file that it stands for; run `git lfs pull`, or download it.',
  },
  {
    text: /^\s*(?:<!--[^>]*-->\s*)?<(?:!doctype|html|head|body|script)/i,
    what: `is a page of a website, saved in place of the model; ${DOWNLOAD_AGAIN}.`,
  },
  {
    text: /^\s*<(?:\?xml|\w)/,
    what: `is an error message (XML), saved in place of the model; ${DOWNLOAD_AGAIN}.`,
  },
  {
    text: /^\s*[[{]\s*["}\]]/,
    what: `is a text (JSON), an error message or a config, and no model; ${DOWNLOAD_AGAIN}.`,
  },
  { text: /^(?:GGUF|ggml|lmgg|ggjt|tjgg)/, what: `is a GGUF file, made for other programs; ${OTHER_FORMAT}.` },
  // torch.save's magic number, 0x1950a86a20f9469cfc6c, as the first of several pickles; protocol 4 frames it.
  {
    hex: /^80(?:02|03|0[45]950d00000000000000)8a0a6cfc9c46f9206aa85019/,
    what: `is in PyTorch's old form (before 1.6), which is not read here; ${CONVERT}.`,
  },
  { text: /^.{257}ustar/s, what: `is a tar archive, or in PyTorch's oldest form; ${OTHER_FORMAT}.` },
  { hex: /^800[2-5]/, what: `is a pickle of Python and no checkpoint of PyTorch; ${OTHER_FORMAT}.` },
  // ir_version, then the producer's name or the graph.
  {
    hex: /^08[01].(?:12[0-3].(?:[2-7].)+|3a|42)/,
    what: 'is an ONNX graph; give the folder of the whole pipeline, with its model_index.json.',
  },
  {
    hex: /^(?:377abcaf271c|526172211a|1f8b|425a68|fd377a585a|28b52ffd)/,
    what: 'is a packed archive; unpack it and give the file of weights in it.',
  },
  { text: /^.HDF\r\n/, what: `is a model of Keras (HDF5); ${OTHER_FORMAT}.` },
  { text: /^.NUMPY/, what: `is an array of numpy; ${OTHER_FORMAT}.` },
  { hex: /^(?:89504e47|ffd8ff|47494638|52494646.{8}57454250)/, what: `is a picture; ${OTHER_FORMAT}.` },
  { text: /^(?:.ELF|MZ|#!)/, what: `is a program; ${OTHER_FORMAT}.` },
]

function whatItIs(head: Buffer, size: number): string | undefined {
  if (size === 0) return 'is empty; download it again.'
  if (head.every((byte) => byte === 0)) return 'holds only zeros: its download broke off; download it again.'
  const text = head.toString('latin1').replace(/^\xef\xbb\xbf/, '')
  // In front of a header stands its length; eight letters there are a text.
  const isSafetensors = text[PREFIX] === '{' && !/^[\s!-~]{8}/.test(text)
  if (isSafetensors) return undefined
  const hex = head.toString('hex')
  const kind = KINDS.find((one) => one.text?.test(text) ?? one.hex?.test(hex))
  return kind?.what ?? `is no file of weights that is known here; ${OTHER_FORMAT}.`
}
