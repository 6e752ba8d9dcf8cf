import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { hideSoftwareDrivers, lacksVulkan } from '../../src/engine/devices/vulkan.ts'
import { temporaryFolder } from './tiny-pipeline.ts'

/** A Vulkan device on the CPU, which Debian's `chromium` brings; it has no half precision. */
const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json'
const LOADER = ['/usr/lib/x86_64-linux-gnu/libvulkan.so.1', '/usr/lib/aarch64-linux-gnu/libvulkan.so.1']

const missing = !existsSync(SWIFTSHADER)
  ? `no ${SWIFTSHADER}; install chromium`
  : !LOADER.some((path) => existsSync(path))
    ? 'no libvulkan.so.1; install libvulkan1'
    : ''
if (missing) console.warn(`Not tested: WebGPU (${missing}).`)

describe.skipIf(missing)('through WebGPU', () => {
  it('a model gives what the CPU gives, and half precision goes on in float32', { timeout: 120_000 }, async () => {
    const encoder = fileURLToPath(new URL('../../models/emoji/vae_encoder/model.onnx', import.meta.url))
    const child = fileURLToPath(new URL('./webgpu-child.js', import.meta.url))
    const env = { ...process.env, VK_ICD_FILENAMES: SWIFTSHADER, VK_DRIVER_FILES: SWIFTSHADER }
    const { stdout } = await promisify(execFile)(process.execPath, [child, encoder], { env })
    const { single, half } = JSON.parse(stdout.slice(stdout.indexOf('{')))
    expect(largestDifference(single.webgpu.data, single.cpu.data)).toBeLessThan(1e-5)
    expect(single.webgpu.notices).toEqual([])
    // Against half precision's own rounding.
    expect(largestDifference(half.webgpu.data, half.cpu.data)).toBeLessThan(2e-3)
    expect(half.webgpu.notices).toEqual(["The device 'webgpu' has no half precision, so the unet runs in float32."])
    expect(half.cpu.notices).toEqual([])
  })
})

function largestDifference(given: number[], wanted: number[]): number {
  expect(given).toHaveLength(wanted.length)
  return Math.max(...given.map((value, i) => Math.abs(value - wanted[i]!)))
}

describe.runIf(process.platform === 'linux')("'auto' tries WebGPU", () => {
  /** A machine's files, by path. */
  function machine(files: Record<string, string>, env: NodeJS.ProcessEnv = {}) {
    const root = temporaryFolder()
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true })
      writeFileSync(join(root, path), content)
    }
    return { root, env: { HOME: join(root, 'home'), ...env } as NodeJS.ProcessEnv }
  }
  const manifest = (library: string) => JSON.stringify({ ICD: { library_path: library, api_version: '1.3.0' } })
  const gpu = { 'dev/dri/renderD128': '' }
  const loader = { 'usr/lib64/libvulkan.so.1': '' }
  const radeon = { 'usr/share/vulkan/icd.d/radeon_icd.x86_64.json': manifest('libvulkan_radeon.so') }
  const lavapipe = { 'usr/share/vulkan/icd.d/lvp_icd.x86_64.json': manifest('/usr/lib64/libvulkan_lvp.so') }
  const swiftshader = { 'opt/vk_swiftshader_icd.json': manifest('./libvk_swiftshader.so') }

  it.each([
    ['without a GPU', machine({ ...loader, ...radeon, ...lavapipe }), 'this machine has no GPU'],
    ['without the loader', machine({ ...gpu, ...radeon }), "Vulkan's loader (libvulkan1) is not installed"],
    ['without a driver', machine({ ...gpu, ...loader }), 'no Vulkan driver of a GPU is installed'],
    ['with a software driver', machine({ ...gpu, ...loader, ...lavapipe }), 'no Vulkan driver of a GPU is installed'],
    [
      'with a broken manifest',
      machine({ ...gpu, ...loader, 'etc/vulkan/icd.d/a.json': '{' }),
      'no Vulkan driver of a GPU is installed',
    ],
    ['with a GPU and its driver', machine({ ...gpu, ...loader, ...radeon, ...lavapipe }), undefined],
    [
      "with NVIDIA's",
      machine({ 'dev/nvidiactl': '', ...loader, 'etc/vulkan/icd.d/nvidia_icd.json': manifest('libGLX_nvidia.so.0') }),
      undefined,
    ],
  ])('%s', (_, places, wanted) => {
    expect(lacksVulkan(places)).toBe(wanted)
  })

  it('a software driver that somebody chose is none of a GPU', () => {
    const places = machine({ ...gpu, ...loader, ...radeon, ...swiftshader })
    places.env.VK_ICD_FILENAMES = join(places.root, 'opt/vk_swiftshader_icd.json')
    expect(lacksVulkan(places)).toBe('no Vulkan driver of a GPU is installed')
    hideSoftwareDrivers(places)
    expect(places.env.VK_DRIVER_FILES).toBeUndefined()
  })

  it('the loader is told of hardware alone', () => {
    const places = machine({ ...gpu, ...loader, ...radeon, ...lavapipe })
    hideSoftwareDrivers(places)
    const path = join(places.root, 'usr/share/vulkan/icd.d/radeon_icd.x86_64.json')
    expect(places.env).toMatchObject({ VK_DRIVER_FILES: path, VK_ICD_FILENAMES: path })
  })
})
