/**
 * Which Vulkan drivers there are, as the loader would find them
 * (https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderDriverInterface.md): what WebGPU runs on under Linux.
 */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Where it looks, so that tests need no GPU. */
export interface VulkanPlaces {
  readonly env: NodeJS.ProcessEnv
  /** In front of every path that is not from `env`. */
  readonly root: string
}

const HERE: VulkanPlaces = { env: process.env, root: '/' }

/**
 * Why WebGPU has no GPU here, or nothing where it is worth a try. Mesa installs its drivers on every machine, and draws on the
 * CPU where no GPU is, many times slower than ONNX Runtime's own CPU provider: so there must be a GPU's device file too.
 */
export function lacksVulkan(places: VulkanPlaces = HERE): string | undefined {
  if (!hasGpu(places)) return 'this machine has no GPU'
  if (!hasLoader(places)) return "Vulkan's loader (libvulkan1) is not installed"
  if (hardwareDrivers(places).length === 0) return 'no Vulkan driver of a GPU is installed'
  return undefined
}

/**
 * Hides drivers that compute on the CPU from the loader, which would offer them where the GPU's own fails. They stay visible
 * where somebody chose the drivers.
 */
export function hideSoftwareDrivers(places: VulkanPlaces = HERE): void {
  if (chosenDrivers(places.env) !== undefined) return
  const drivers = hardwareDrivers(places).join(delimiter)
  places.env.VK_DRIVER_FILES = drivers
  // The same by its name of before 2022.
  places.env.VK_ICD_FILENAMES = drivers
}

/** Direct Rendering's devices, NVIDIA's own, and WSL's. */
function hasGpu({ root }: VulkanPlaces): boolean {
  const rendering = list(join(root, 'dev/dri')).some((path) => /renderD\d+$/.test(path))
  return rendering || ['dev/nvidiactl', 'dev/dxg'].some((path) => existsSync(join(root, path)))
}

const LIBRARIES = [
  'usr/lib/x86_64-linux-gnu',
  'usr/lib/aarch64-linux-gnu',
  'usr/lib64',
  'usr/lib',
  'usr/local/lib',
  'run/opengl-driver/lib',
]

function hasLoader({ env, root }: VulkanPlaces): boolean {
  const folders = [...paths(env.LD_LIBRARY_PATH), ...LIBRARIES.map((folder) => join(root, folder))]
  return folders.some((folder) => existsSync(join(folder, 'libvulkan.so.1')))
}

/** The manifests of drivers that are no software. */
function hardwareDrivers(places: VulkanPlaces): string[] {
  const { env, root } = places
  const chosen = chosenDrivers(env)
  const home = (name: string, fallback: string) => env[name] || join(env.HOME || homedir(), fallback)
  const folders = [
    home('XDG_CONFIG_HOME', '.config'),
    ...paths(env.XDG_CONFIG_DIRS, [join(root, 'etc/xdg')]),
    join(root, 'etc'),
    home('XDG_DATA_HOME', '.local/share'),
    ...paths(env.XDG_DATA_DIRS, [join(root, 'usr/local/share'), join(root, 'usr/share')]),
    join(root, 'run/opengl-driver/share'),
  ]
  const manifests = chosen ?? folders.map((folder) => join(folder, 'vulkan/icd.d'))
  return manifests.flatMap((path) => (isFolder(path) ? list(path) : [path])).filter(isHardware)
}

/** Files or folders of manifests that a person chose. */
function chosenDrivers(env: NodeJS.ProcessEnv): string[] | undefined {
  const chosen = env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES
  return chosen ? paths(chosen) : undefined
}

/** Mesa's llvmpipe (lavapipe) and Google's SwiftShader. */
const SOFTWARE = /lvp|lavapipe|llvmpipe|swiftshader/i

function isHardware(manifest: string): boolean {
  try {
    const { ICD } = JSON.parse(readFileSync(manifest, 'utf8')) as { ICD?: { library_path?: unknown } }
    return typeof ICD?.library_path === 'string' && !SOFTWARE.test(ICD.library_path)
  } catch {
    return false
  }
}

function paths(value: string | undefined, fallback: string[] = []): string[] {
  const given = value?.split(delimiter).filter(Boolean)
  return given?.length ? given : fallback
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
      .sort()
      .map((name) => join(folder, name))
  } catch {
    return []
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
