/** An engine that draws nothing: it answers at once, or step by step when a test says so. */

import type { Catalog, Model } from '../../src/engine/process/engine.ts'

export const model: Model = {
  name: 'tiny',
  hash: '0123456789',
  family: 'stable-diffusion',
  scheduler: 'DDIMScheduler',
  numInferenceSteps: 20,
  guidanceScale: 4,
  width: 64,
  height: 64,
  sizeMultiple: 8,
  clipSkip: 1,
  maxClipSkip: 12,
  usesGuidance: true,
}

export const catalog: Catalog = { models: [model], loras: [], embeddings: [] }

/** A folder with these models beside the engine's own, and LoRAs. */
export function folderOf(names: readonly string[], loras: readonly string[] = []): Catalog {
  return {
    models: [model, ...names.map((name) => ({ ...model, name }))],
    loras: loras.map((name) => ({ name })),
    embeddings: [],
  }
}
