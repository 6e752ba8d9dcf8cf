/** What a model's graph is made from: a file of an export, or weights that it is written around; and what is made of it. */

import type { Device } from '../devices/device.ts'
import { type OnnxGraph, readOnnx } from './onnx-file.ts'

export interface GraphSource {
  /** The part's folder: 'unet', 'text_encoder', … */
  readonly part: string
  /** The file that a person should hear of. */
  readonly path: string
  /** An ONNX file that ONNX Runtime can open as it is. */
  readonly exported?: string
  /**
   * The graph, its weights left where they lie; the caller's to change.
   * @throws EngineError 'model' where the file is broken
   */
  read(): OnnxGraph
  /** Of a UNet that can be written so: the same with a ControlNet's outputs as inputs, and the same without. */
  readonly withResiduals?: GraphSource
  readonly withoutResiduals?: GraphSource
  /** The same part in float32, where this one is half precision: used when it computes NaN, or the device has none. */
  readonly fp32?: GraphSource
}

/** What is made of a graph before it runs. */
export interface Rewrite {
  /**
   * @param graph May be changed.
   * @param path What errors name.
   * @throws EngineError
   */
  apply(graph: OnnxGraph, path: string): OnnxGraph
  /** Where rows of a batch would depend on each other in what it makes: the model then runs them one at a time. */
  readonly oneRow?: boolean
  /** The only device whose operators it writes. */
  readonly device?: Device
}

/** The order in which a model's rewrites are applied: each finds what the ones before it leave. */
export const REWRITE_ORDER = ['textual-inversion', 'lora', 'precision', 'attention', 'hidden-states'] as const

export type RewriteName = (typeof REWRITE_ORDER)[number]

/** The graph of an ONNX file. */
export function exportedGraph(part: string, path: string, fp32Path?: string): GraphSource {
  return {
    part,
    path,
    exported: path,
    read: () => readOnnx(path),
    ...(fp32Path !== undefined && { fp32: exportedGraph(part, fp32Path) }),
  }
}
