/** What a stranger's npm does with the package: it installs without a download of its own, and says nothing odd. */

import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Package {
  readonly dependencies: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
  readonly bundleDependencies: readonly string[]
  readonly allowScripts: Readonly<Record<string, boolean>>
}

async function readJson<Json>(...path: string[]): Promise<Json> {
  return JSON.parse(await readFile(join(...path), 'utf8'))
}

/** With a package of its own, since npm looks for one in the folders above too, and would install there. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'seedling-install-'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Whatever this suite runs under must not reach the npm that is tried. */
function outsideNpm(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD$)/i.test(name)))
}

function run(cwd: string, command: string, ...args: string[]): Promise<{ code: number; said: string }> {
  // A script of onnxruntime-node that ran all the same would fail on this, with or without the internet.
  const env = { ...outsideNpm(), ONNXRUNTIME_NODE_INSTALL: 'nothing-of-that-name' }
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, said: stdout + stderr }),
    )
  })
}

describe('npm', () => {
  it('has nothing to warn of in a clone', async () => {
    const { code, said } = await run(root, 'npm', 'pkg', 'get', 'name')
    expect(code).toBe(0)
    expect(said).not.toMatch(/project config/)
  })

  it('runs no install script in a clone: newer ones by the policy, older ones since the lock file tells of none', async () => {
    const { allowScripts } = await readJson<Package>(root, 'package.json')
    const { packages } = await readJson<{ packages: Record<string, { hasInstallScript?: true }> }>(
      root,
      'package-lock.json',
    )
    const told = Object.keys(packages).filter((path) => packages[path]!.hasInstallScript)
    // The fallback of esbuild's script is to do without; onnxruntime-node's fetches 300 MB and fails where it cannot.
    expect(told).toEqual(['node_modules/esbuild'])
    expect(allowScripts).toEqual({ esbuild: false, 'onnxruntime-node': false })
  })

  it('installs the packed tarball without running a script of ONNX Runtime', { timeout: 120_000 }, async () => {
    const [clone, elsewhere] = [await temporaryFolder(), await temporaryFolder()]
    const whole = await readJson<Package>(root, 'package.json')
    const onnxruntime = Object.entries(whole.dependencies).filter(([name]) => name === 'onnxruntime-node')
    // All that comes from a registry is left out, and so are the libraries, which take long to pack.
    const part = {
      ...whole,
      dependencies: Object.fromEntries(onnxruntime),
      devDependencies: {},
      scripts: { ...whole.scripts, build: 'true', prepare: 'true' },
    }
    await writeFile(join(clone, 'package.json'), JSON.stringify(part))
    await mkdir(join(clone, 'dist'))
    await cp(join(root, 'dist/cli.js'), join(clone, 'dist/cli.js'))
    const filter = (path: string) => !/onnxruntime-node\/bin\/|node_modules\/\.(bin|vite)/.test(path)
    for (const name of await bundled(whole.bundleDependencies)) {
      await cp(join(root, 'node_modules', name), join(clone, 'node_modules', name), { recursive: true, filter })
    }
    expect(await run(clone, 'npm', 'pack')).toMatchObject({ code: 0 })
    const tarball = (await readdir(clone)).find((name) => name.endsWith('.tgz'))!
    expect(await run(elsewhere, 'npm', 'install', '--offline', '--no-audit', join(clone, tarball))).toMatchObject({
      code: 0,
      said: expect.stringMatching(/added 1 package/),
    })
    const installed = join(elsewhere, 'node_modules/seedling/node_modules/onnxruntime-node')
    expect(await readdir(installed)).toContain('dist')
    expect(await readJson(installed, 'package.json')).not.toHaveProperty('scripts')
  })

  it('leaves what was built alone where what builds it is not installed', async () => {
    const folder = await temporaryFolder()
    await cp(join(root, 'prepare.js'), join(folder, 'prepare.js'))
    expect(await run(folder, process.execPath, 'prepare.js')).toEqual({
      code: 0,
      said: expect.stringContaining('npm ci without --omit=dev'),
    })
    await symlink(join(root, 'dist'), join(folder, 'dist'))
    expect(await run(folder, process.execPath, 'prepare.js')).toEqual({ code: 0, said: '' })
  })
})

/** Those packages and all that they need. */
async function bundled(names: readonly string[], known = new Set<string>()): Promise<Set<string>> {
  for (const name of names) {
    if (known.has(name)) continue
    known.add(name)
    const { dependencies = {} } = await readJson<Partial<Package>>(root, 'node_modules', name, 'package.json')
    await bundled(Object.keys(dependencies), known)
  }
  return known
}
