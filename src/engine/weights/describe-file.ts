/** What a file of weights is, for people: `seedling models show FILE`, and the sentence about a file that is no model. */

import type { FamilyName, Prediction, Task } from '../families/family.ts'
import { type FileKind, type Identified, identify } from './identify.ts'
import { openModelFile } from './model-file.ts'
import type { StoredType, Weights } from './stored-tensor.ts'

export interface FileDescription {
  readonly kind: FileKind
  /** For people: 'Stable Diffusion XL for inpainting', 'a LoRA'. */
  readonly title: string
  /** Of models. */
  readonly family?: FamilyName
  readonly task?: Task
  readonly prediction?: Prediction
  /** Numbers in all its tensors. */
  readonly parameters: number
  /** The one with the most numbers first. */
  readonly dtypes: readonly StoredType[]
  /** Parts that a model needs and the file does not hold: 'VAE', 'text encoder'. */
  readonly missing: readonly string[]
}

/** @throws EngineError 'model' when it is no file of weights, or a damaged one. */
export function describeFile(path: string): FileDescription {
  const file = openModelFile(path)
  const identified = identify(file)
  const { unet } = identified
  return {
    kind: identified.kind,
    title: identified.title,
    ...(unet && { family: unet.family.name, task: unet.task, prediction: unet.prediction }),
    ...counted(file.weights),
    missing: missingParts(identified),
  }
}

/** In the order in which a person would look for them. */
export function missingParts({ unet, parts }: Identified): string[] {
  if (!unet) return []
  const lacking = unet.textEncoders.length - parts.textEncoders.length
  return [...(parts.vae ? [] : ['VAE']), ...(lacking > 0 ? [lacking > 1 ? 'text encoders' : 'text encoder'] : [])]
}

function counted(weights: Weights): Pick<FileDescription, 'parameters' | 'dtypes'> {
  const numbers = new Map<StoredType, number>()
  for (const name of weights.names()) {
    const { dtype, shape } = weights.get(name)!
    const count = shape.reduce((product, size) => product * size, 1)
    numbers.set(dtype, (numbers.get(dtype) ?? 0) + count)
  }
  const byCount = [...numbers].sort(([, a], [, b]) => b - a)
  return { parameters: byCount.reduce((sum, [, count]) => sum + count, 0), dtypes: byCount.map(([dtype]) => dtype) }
}
