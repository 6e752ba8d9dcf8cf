/** Devices by diffusers' names, and what each is to ONNX Runtime: which can be tried here, and what to do when one fails. */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type InferenceSession, listSupportedBackends } from 'onnxruntime-node'
import { EngineError } from '../errors.ts'
import { hideSoftwareDrivers, lacksVulkan } from './vulkan.ts'

/** One of ONNX Runtime's execution providers. */
export type Device = 'cpu' | 'cuda' | 'tensorrt' | 'dml' | 'coreml' | 'webgpu'

export const DEVICES: readonly Device[] = ['cpu', 'cuda', 'tensorrt', 'dml', 'coreml', 'webgpu']

/** TensorRT is left out of 'auto': it builds its engine anew at every start, for minutes. */
const BEST_FIRST: Partial<Record<NodeJS.Platform, readonly Device[]>> = {
  linux: ['cuda', 'webgpu', 'cpu'],
  win32: ['dml', 'cpu'],
  darwin: ['coreml', 'cpu'],
}

const INSTALL_CUDA =
  'fetch its library with `ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js`'

/** NVIDIA's driver on Linux, also in a container, and under WSL. */
const NVIDIA = ['/dev/nvidiactl', '/dev/dxg']

/** What 'auto' tries, best first; the last is always 'cpu'. */
export function candidates(platform: NodeJS.Platform = process.platform): readonly Device[] {
  return BEST_FIRST[platform] ?? ['cpu']
}

/** Why there is nothing to try, where that is no surprise: this machine has no such GPU. */
export function lacksHardware(device: Device): string | undefined {
  if (process.platform !== 'linux') return undefined
  if (device === 'webgpu') return lacksVulkan()
  const absent = device === 'cuda' && !NVIDIA.some((file) => existsSync(file))
  return absent ? 'this machine has no NVIDIA GPU' : undefined
}

/** Before 'auto' tries it: it must find a GPU or fail. */
export function prepareToTry(device: Device): void {
  if (device === 'webgpu' && process.platform === 'linux') hideSoftwareDrivers()
}

/** What 'auto' is likely to become: the first that is here and installed. */
export function bestDevice(): Device {
  return candidates().find((device) => !lacksHardware(device) && !unavailable(device)) ?? 'cpu'
}

/** @throws EngineError 'argument' unless `device` is one of the names here. */
export function requireDevice(device: string): Device {
  const known = DEVICES.find((name) => name === device)
  if (known) return known
  throw new EngineError('argument', `There is no device "${device}"; choose one of auto, ${DEVICES.join(', ')}.`)
}

/** Why this build of ONNX Runtime cannot use `device` at all, or nothing when it is worth a try. */
export function unavailable(device: Device): string | undefined {
  const backend = listSupportedBackends().find(({ name }) => name === device)
  if (!backend) return `ONNX Runtime has no ${device} on ${process.platform} ${process.arch}`
  if (backend.bundled || existsSync(providerLibrary(device))) return undefined
  return `the ${device} provider is not installed (${INSTALL_CUDA})`
}

function providerLibrary(device: Device): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node')
  const folder = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch)
  return join(folder, `libonnxruntime_providers_${device}.so`)
}

/** The options that make a session run there; ONNX Runtime itself puts 'cpu' behind every provider. */
export function providerOptions(device: Device): InferenceSession.SessionOptions {
  if (device === 'dml') return { executionProviders: ['dml'], enableMemPattern: false, executionMode: 'sequential' }
  return { executionProviders: [device] }
}

/** One clause on what to do about a device that failed. */
export function remedy(device: Device): string {
  switch (device) {
    case 'cuda':
    case 'tensorrt':
      return `${INSTALL_CUDA}, put the CUDA and cuDNN libraries on LD_LIBRARY_PATH before the start, or use device 'cpu'`
    case 'webgpu':
      return "install a Vulkan driver (libvulkan), or use device 'cpu'"
    default:
      return "use device 'cpu'"
  }
}
