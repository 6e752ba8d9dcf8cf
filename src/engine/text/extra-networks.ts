/** AUTOMATIC1111's extra networks: `<lora:name:0.8>` in a prompt, read as its `modules/extra_networks.py` and `Lora` do. */

import { EngineError } from '../errors.ts'
import { nearestNames } from '../nearest-names.ts'

/** A LoRA that a prompt names, and how much of it is wanted. */
export interface LoraReference {
  /** A file's name without its ending, in its own case. */
  readonly name: string
  readonly unetWeight: number
  readonly textEncoderWeight: number
}

export interface ParsedPrompt {
  /** What is left of it; the white space around what was taken out stays. */
  readonly prompt: string
  /** In the prompt's order; one that is named twice is meant twice. */
  readonly loras: readonly LoraReference[]
}

/** AUTOMATIC1111 takes out any `<word:…>`; in a chat, `<:smile:123>` and `<t:123>` are something else, and stay. */
const EXTRA_NETWORK = /<(lora|lyco|hypernet):([^>]+)>/g

/** As Python's `float` reads it, but for infinity and NaN. */
const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i

/**
 * `<lora:name>`, `<lora:name:0.8>` for both, `<lora:name:0.8:0.5>` for the text encoders and then the UNet, or by name,
 * `<lora:name:te=0.8:unet=0.5>`. `lyco` is another word for `lora`.
 * @throws EngineError 'argument' for what stands in there and is not understood.
 */
export function parseExtraNetworks(prompt: string): ParsedPrompt {
  const loras: LoraReference[] = []
  const rest = prompt.replace(EXTRA_NETWORK, (whole: string, kind: string, items: string) => {
    if (kind === 'hypernet') throw wrong(whole, 'hypernetworks are not supported; leave it out, or use a LoRA')
    loras.push(reference(whole, items.split(':')))
    return ''
  })
  return { prompt: rest, loras }
}

function reference(whole: string, items: readonly string[]): LoraReference {
  const named = new Map<string, string>()
  const positional: string[] = []
  for (const item of items) {
    const [key, value, ...more] = item.split('=') as [string, ...string[]]
    if (value === undefined || more.length > 0) positional.push(item)
    else if (key === 'te' || key === 'unet') named.set(key, value)
    else throw wrong(whole, `"${key}" is not understood; it takes te and unet`)
  }
  const [name = '', both, unet, ...others] = positional
  if (name.trim() === '') throw wrong(whole, 'it names no LoRA; write <lora:name:0.8>')
  if (others.length > 0)
    throw wrong(whole, `"${others[0]}" is not understood; write <lora:name:0.8> or <lora:name:0.8:0.5>`)
  const textEncoderWeight = weight(whole, named.get('te') ?? both ?? '1')
  return { name, textEncoderWeight, unetWeight: weight(whole, named.get('unet') ?? unet ?? String(textEncoderWeight)) }
}

function weight(whole: string, text: string): number {
  const number = NUMBER.test(text) ? Number(text) : Number.NaN
  if (Number.isFinite(number)) return number
  throw wrong(whole, `"${text}" is no weight; write a number, such as <lora:name:0.8>`)
}

function wrong(whole: string, why: string): EngineError {
  return new EngineError('argument', `The prompt's ${whole.slice(0, 80)} cannot be used: ${why}.`)
}

/**
 * Which of the files a prompt means.
 * @param kind As the sentence calls it: 'LoRA', 'embedding'.
 * @throws EngineError 'argument' with the nearest names, where there is none of that name.
 */
export function networkNamed<File extends { readonly name: string }>(
  name: string,
  files: readonly File[],
  kind: string,
): File {
  const found = files.find((file) => file.name === name)
  if (found) return found
  const near = nearestNames(
    name,
    files.map((file) => file.name),
  )
  const offer =
    near.length > 0 ? `; did you mean ${near.map((one) => `"${one}"`).join(' or ')}?` : ', and none that is like it.'
  throw new EngineError('argument', `There is no ${kind} "${name.slice(0, 80)}"${offer}`)
}
