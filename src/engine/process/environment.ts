/** What the engine's process may see of the environment: it opens model files from anywhere, and needs little. */

import { existsSync } from 'node:fs'
import { delimiter } from 'node:path'

/** By name or by beginning (`*`), in any case: proxies are written in both. */
const ALLOWED = [
  // The system, and where it keeps things.
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_*', 'TZ', 'TMPDIR', 'TMP', 'TEMP', 'XDG_*'],
  ...['SYSTEMROOT', 'SYSTEMDRIVE', 'WINDIR', 'COMSPEC', 'PATHEXT', 'APPDATA', 'LOCALAPPDATA', 'PROGRAMDATA'],
  ...['PROGRAMFILES*', 'COMMONPROGRAMFILES*', 'USERPROFILE', 'HOMEDRIVE', 'HOMEPATH', 'OS', 'PROCESSOR_*'],
  'NUMBER_OF_PROCESSORS',
  // Node, memory, and the loader of libraries.
  ...['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_USE_*', 'NODE_V8_COVERAGE', 'NODE_DEBUG', 'UV_*', 'SSL_CERT_*'],
  ...['MALLOC_*', 'GLIBC_TUNABLES', 'LD_*', 'DYLD_*'],
  // The way to the hub, and its own settings.
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY', 'HF_*', 'HUGGINGFACE_*', 'HUGGING_FACE_*'],
  // What the model runs on.
  ...['ORT_*', 'OMP_*', 'KMP_*', 'GOMP_*', 'MKL_*', 'OPENBLAS_*', 'CUDA_*', 'CUDNN_*', 'CUBLAS_*', 'NVIDIA_*', 'TRT_*'],
  ...['TENSORRT_*', 'ROCR_*', 'ROCM_*', 'HIP_*', 'HSA_*', 'MIGRAPHX_*', 'AMD_*', 'ZE_*', 'SYCL_*', 'OPENVINO_*'],
  ...['VK_*', 'MESA_*', 'RADV_*', 'LIBGL_*', 'EGL_*', '__EGL_*', '__GLX_*', 'DRI_PRIME', 'DISPLAY', 'WAYLAND_DISPLAY'],
  'DAWN_*',
  'SEEDLING_*',
]

const ALLOWED_NAME = new RegExp(`^(?:${ALLOWED.map((name) => name.replace('*', '.*')).join('|')})$`, 'i')
/** Of those, what is a secret by its name stays with the bot; only the hub's own is for the engine. */
const SECRET = /TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$/i
const HUB_SECRET = /^HF_|^HUGGING_?FACE_/i

/** The engine's environment, from the program's own. */
export function environmentOf(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(own).filter(
    ([name]) => ALLOWED_NAME.test(name) && (HUB_SECRET.test(name) || !SECRET.test(name)),
  )
  return {
    ...Object.fromEntries(kept),
    // Without it glibc keeps what a large picture took: 250 MB in place of 86 MB after a session was released.
    MALLOC_TRIM_THRESHOLD_: '65536',
    ...libraryPath(own),
  }
}

/** Where CUDA is often installed without being known to the loader, which reads this variable only when a process starts. */
const CUDA = ['/usr/local/cuda/lib64', '/usr/lib/wsl/lib']

function libraryPath({ LD_LIBRARY_PATH }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const found = process.platform === 'linux' ? CUDA.filter((folder) => existsSync(folder)) : []
  if (found.length === 0) return {}
  return { LD_LIBRARY_PATH: [LD_LIBRARY_PATH, ...found].filter(Boolean).join(delimiter) }
}
