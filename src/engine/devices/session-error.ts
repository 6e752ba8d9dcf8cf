/** From ONNX Runtime's words to one sentence that says what to do. */

import { EngineError } from '../errors.ts'
import { type Device, remedy } from './device.ts'

/** Operators that ONNX Runtime's own optimisers write for CUDA (and Olive for DirectML): a plain export has none of them. */
const MISSING_OPERATOR = [
  /Could not find an implementation for (?:the node )?(?:[\w./:]+:)?(\w+)\(\d+\)/,
  /NOT_IMPLEMENTED[\s\S]*?(?:node|operator|op)\W+(\w+)/i,
  /In Node, \("[^"]*", (\w+), "[^"]*"[\s\S]*?(?:No opset import|is not a registered function\/op|No Op registered)/,
  /No Op registered for (\w+)/,
  /(\w+)\(-?\d+\) is not a registered function\/op/,
]

const PROVIDER_FAILED =
  /Failed to load (?:shared )?library|backend not found|AppendExecutionProvider|WebGPU adapter|CUDA failure|no CUDA-capable|D3D12|DirectML/i

const NEWER_EXPORT = /Unsupported model IR version|official released onnx opset/

const OUT_OF_MEMORY = /bad_alloc|out of memory|Failed to allocate memory|BFCArena/i

/** What went wrong when `path`, the graph of `part`, was opened on `device`. */
export function openError(error: unknown, part: string, path: string, device: Device): EngineError {
  const words = error instanceof Error ? error.message : String(error)
  const options = { cause: error }
  const operator = missingOperator(words)
  if (operator)
    return new EngineError(
      'device',
      `The ${part} in ${path} uses the operator ${operator}, which device '${device}' lacks: it was optimised for another` +
        " device, so use that one, or give PyTorch's weights of the model, which run on every device.",
      options,
    )
  if (/External data path does not exist|External initializer|external data/i.test(words))
    return new EngineError(
      'model',
      `The weights beside ${path} are missing or half-downloaded; download the model again.`,
      options,
    )
  if (OUT_OF_MEMORY.test(words)) return memoryError(error, part, device)
  if (PROVIDER_FAILED.test(words))
    return new EngineError(
      'device',
      `The device '${device}' cannot be used here${providerReason(words)}: ${remedy(device)}.`,
      options,
    )
  if (/Protobuf parsing failed|does not have a graph|doesn't exist|is a directory/i.test(words))
    return new EngineError('model', `${path} is damaged or half-downloaded; download the model again.`, options)
  if (NEWER_EXPORT.test(words))
    return new EngineError(
      'model',
      `${path} was exported for a newer ONNX than this ONNX Runtime reads; update it, or export the model again with a lower --opset.`,
      options,
    )
  if (/Unsupported data type/.test(words))
    return new EngineError(
      'model',
      `The ${part} in ${path} takes or gives a type that is not supported, such as bfloat16; export it in fp32 or fp16.`,
      options,
    )
  const reason = firstLine(words.replace(/^Load model from .* failed:/, ''))
  return new EngineError(
    'model',
    `The ${part} in ${path} cannot be opened (${reason}); download the model again, or export it again.`,
    options,
  )
}

/** Whether the device is one that does not compute in half precision. */
export function lacksHalf(error: unknown): boolean {
  const cause = error instanceof EngineError ? error.cause : error
  return cause instanceof Error && /requires f16/.test(cause.message)
}

/** What went wrong when `part` ran. */
export function runError(error: unknown, part: string, device: Device): EngineError {
  const words = error instanceof Error ? error.message : String(error)
  if (OUT_OF_MEMORY.test(words)) return memoryError(error, part, device)
  const operator = missingOperator(words)
  if (operator)
    return new EngineError(
      'device',
      `The ${part} uses the operator ${operator}, which device '${device}' lacks; use another device or a plain export.`,
      { cause: error },
    )
  if (/invalid dimensions|dimension|broadcast|shape/i.test(words))
    return new EngineError(
      'argument',
      `The ${part} cannot work at this size (${firstLine(words)}); try a width and height that are multiples of 64.`,
      { cause: error },
    )
  const cure = device === 'cpu' ? '' : "; use device 'cpu'"
  return new EngineError('device', `The ${part} failed on device '${device}': ${firstLine(words)}${cure}.`, {
    cause: error,
  })
}

/** A library that the loader did not find, or what CUDA says. */
function providerReason(words: string): string {
  const missing = /([\w.+-]+): cannot open shared object/.exec(words)?.[1]
  const cuda = /CUDA failure \d+: ([^;\n]+)/.exec(words)?.[1]?.trim()
  return missing ? ` (${missing} is missing)` : cuda ? ` (${cuda})` : ''
}

function memoryError(error: unknown, part: string, device: Device): EngineError {
  return new EngineError(
    'device',
    `The ${part} does not fit into the memory of device '${device}'; make smaller or fewer images, or use a smaller model.`,
    { cause: error },
  )
}

function missingOperator(words: string): string | undefined {
  for (const pattern of MISSING_OPERATOR) {
    const operator = pattern.exec(words)?.[1]
    if (operator) return operator
  }
  return undefined
}

function firstLine(words: string): string {
  return (words.split('\n')[0] ?? '').trim().replace(/\.$/, '').slice(0, 300)
}
